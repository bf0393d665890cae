// What an application built with Relay asks: fragments, a list that grows, a page again, a node by its id.
declare function graphql(text: TemplateStringsArray): unknown;

graphql`
  query corpusQuery($id: ID!) {
    node(id: $id) {
      ...corpus_document @alias(as: "document")
    }
    ...corpus_documents
  }
`;

graphql`
  fragment corpus_documents on Query
  @argumentDefinitions(count: { type: "Int", defaultValue: 20 }, cursor: { type: "String" })
  @refetchable(queryName: "corpusDocumentsQuery") {
    documents(first: $count, after: $cursor) @connection(key: "corpus_documents") {
      edges {
        node {
          id
          title
        }
      }
    }
  }
`;

graphql`
  fragment corpus_document on Document
  @argumentDefinitions(count: { type: "Int", defaultValue: 10 }, cursor: { type: "String" })
  @refetchable(queryName: "corpusDocumentQuery") {
    title
    metadata
    chunks(first: $count, after: $cursor) @connection(key: "corpus_document_chunks") {
      edges {
        node {
          id
          text
          embeddings {
            id
            isSynced
          }
        }
      }
    }
  }
`;

graphql`
  mutation corpusMutation($input: UpdateDocumentInput!) {
    updateDocument(input: $input) {
      document {
        ...corpus_document
      }
    }
  }
`;

graphql`
  subscription corpusSubscription($id: ID!) {
    syncProgress(jobId: $id) {
      seq
      job {
        state
        percentage
      }
    }
  }
`;
