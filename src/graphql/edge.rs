//! What every transport does with a request: judge the document, execute it, dress the answer.

use async_graphql::Request;
use async_graphql::Response;
use async_graphql::ServerError;
use futures_util::Stream;
use futures_util::StreamExt as _;

use crate::app::App;
use crate::error::Code;
use crate::graphql::Schema;
use crate::graphql::cost;
use crate::graphql::error;
use crate::graphql::guard;
use crate::graphql::schema;
use crate::service::Ctx;

/// How many errors of one document are told.
const MAX_ERRORS: usize = 100;

/// The schema and what it is executed over.
#[derive(Clone)]
pub struct Edge {
    schema: Schema,
    app: App,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edge")
    }
}

impl Edge {
    /// The schema over `app`.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self { schema: schema(), app }
    }

    /// The context that requests get theirs from.
    #[must_use]
    pub const fn cx(&self) -> &Ctx {
        self.app.cx()
    }

    /// Parses the document and refuses one that costs too much to look at.
    ///
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED`, `GRAPHQL_VALIDATION_FAILED` or `COST_EXCEEDED`.
    pub fn prepare(&self, mut request: Request) -> Result<Request, ServerError> {
        guard::text(&request.query).map_err(|sentence| coded(ServerError::new(sentence, None), error::PARSE_FAILED))?;
        let variables = std::mem::take(&mut request.variables);
        let document = request.parsed_query().map_err(|cause| coded(cause, error::PARSE_FAILED))?;
        guard::document(document)
            .map_err(|sentence| coded(ServerError::new(sentence, None), error::VALIDATION_FAILED))?;
        cost::document(document, &variables, self.cx().config().limits.graphql_page)
            .map_err(|sentence| coded(ServerError::new(sentence, None), Code::CostExceeded.row().name))?;
        request.variables = variables;
        Ok(request)
    }

    /// Executes a prepared query or mutation.
    pub async fn execute(&self, prepared: Request) -> Response {
        let cx = self.cx().for_request();
        let query = prepared.query.clone();
        dressed(self.schema.execute(prepared.data(cx.clone())).await, &query, &cx)
    }

    /// Executes any prepared operation: one answer, or one for each event.
    pub fn stream(&self, prepared: Request) -> impl Stream<Item = Response> + Send + 'static {
        let cx = self.cx().for_request();
        let query = prepared.query.clone();
        self.schema.execute_stream(prepared.data(cx.clone())).map(move |response| dressed(response, &query, &cx))
    }
}

fn coded(mut error: ServerError, code: &str) -> ServerError {
    error.extensions.get_or_insert_default().set("code", code);
    error
}

fn dressed(mut response: Response, query: &str, cx: &Ctx) -> Response {
    response.errors.truncate(MAX_ERRORS);
    error::dress(&mut response.errors, query);
    if let Some(revision) = cx.committed() {
        response.extensions.insert("corpusRevision".to_owned(), revision.to_string().into());
    }
    response
}
