//! What each root field needs, and whether who asks has it: over a whole document, before anything of it is executed.
//!
//! A field that the table does not have needs the greatest scope. What the schema does not have either is
//! validation's to report.

use std::collections::HashSet;
use std::sync::LazyLock;

use async_graphql::Name;
use async_graphql::Variables;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::types::Field;
use async_graphql::parser::types::OperationDefinition;
use async_graphql::parser::types::OperationType;
use async_graphql::parser::types::Selection;
use async_graphql::parser::types::SelectionSet;
use async_graphql::parser::types::TypeKind;
use async_graphql::parser::types::TypeSystemDefinition;
use async_graphql_value::ConstValue;
use async_graphql_value::Value;

use crate::error::Error;
use crate::graphql::sdl;
use crate::service::access::Principal;
use crate::service::access::Scope;
use crate::service::access::Scope::Admin;
use crate::service::access::Scope::Read;
use crate::service::access::Scope::Sync;
use crate::service::access::Scope::Write;

const QUERIES: &[(&str, Scope)] = &[
    ("activity", Read),
    ("apiKeys", Admin),
    ("auditLog", Admin),
    ("chunk", Read),
    ("document", Read),
    ("documents", Read),
    ("embedding", Read),
    ("embeddings", Read),
    ("namespaces", Read),
    ("node", Read),
    ("nodes", Read),
    ("overview", Read),
    ("search", Read),
    ("server", Read),
    ("syncJob", Read),
    ("syncJobs", Read),
    ("syncSlots", Read),
    ("targets", Read),
];

const MUTATIONS: &[(&str, Scope)] = &[
    ("cancelSync", Sync),
    ("createApiKey", Admin),
    ("createChunks", Write),
    ("createDocument", Write),
    ("createEmbeddings", Write),
    ("deleteChunk", Write),
    ("deleteDocument", Write),
    ("deleteDocuments", Write),
    ("deleteEmbedding", Write),
    ("deleteVectors", Sync),
    ("duplicateDocument", Write),
    ("reconcile", Sync),
    ("restoreChunk", Write),
    ("restoreDocument", Write),
    ("retryQuarantined", Sync),
    ("revokeApiKey", Admin),
    ("startSync", Sync),
    ("updateChunk", Write),
    ("updateDocument", Write),
    ("updateEmbedding", Write),
];

const SUBSCRIPTIONS: &[(&str, Scope)] = &[("corpusEvents", Read), ("documentSync", Read), ("syncProgress", Read)];

/// What the root field needs, if the table has it.
#[must_use]
pub fn needs(kind: OperationType, field: &str) -> Option<Scope> {
    let table = match kind {
        OperationType::Query => QUERIES,
        OperationType::Mutation => MUTATIONS,
        OperationType::Subscription => SUBSCRIPTIONS,
    };
    // The schema itself is read as anything is.
    let introspects = ["__typename", "__schema", "__type"].contains(&field);
    table.iter().find(|(name, _)| *name == field).map(|(_, scope)| *scope).or(introspects.then_some(Read))
}

/// Refuses a document whose operation has a root field that `principal` may not ask for.
///
/// The document must have passed the guard: its fragments do not go round in circles. Fields that a directive
/// leaves out count, too.
///
/// # Errors
/// [`Error::Forbidden`], which names the first such field.
pub fn check(
    principal: &Principal,
    document: &ExecutableDocument,
    operation: Option<&str>,
    variables: &Variables,
) -> Result<(), Error> {
    // Where none is named there is one, or nothing is executed.
    let asked = document
        .operations
        .iter()
        .filter(|(name, _)| operation.is_none_or(|operation| name.is_some_and(|name| name.as_str() == operation)));
    for (_, asked) in asked {
        let mut walk = Walk { principal, document, variables, operation: &asked.node, seen: HashSet::new() };
        walk.set(&asked.node.selection_set.node)?;
    }
    Ok(())
}

struct Walk<'a> {
    principal: &'a Principal,
    document: &'a ExecutableDocument,
    variables: &'a Variables,
    operation: &'a OperationDefinition,
    /// Fragments that were looked through.
    seen: HashSet<&'a str>,
}

impl<'a> Walk<'a> {
    fn set(&mut self, set: &'a SelectionSet) -> Result<(), Error> {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => self.field(&field.node)?,
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node)?,
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if self.seen.insert(name)
                        && let Some(fragment) = self.document.fragments.get(name)
                    {
                        self.set(&fragment.node.selection_set.node)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&self, field: &Field) -> Result<(), Error> {
        let (name, kind) = (field.name.node.as_str(), self.operation.ty);
        if self.removes_legacy(field) {
            return self.principal.require(Admin, "reconcile with removeLegacy");
        }
        let scope = match needs(kind, name) {
            Some(scope) => scope,
            None if is_served(kind, name) => Admin,
            None => return Ok(()),
        };
        self.principal.require(scope, name)
    }

    /// Whether a check is to delete what others left in the index.
    fn removes_legacy(&self, field: &Field) -> bool {
        const ARGUMENT: &str = "removeLegacy";
        if field.name.node != "reconcile" || self.operation.ty != OperationType::Mutation {
            return false;
        }
        let asked = field.get_argument("input").map(|input| &input.node);
        if let Some(Value::Variable(name)) = asked {
            let Some(ConstValue::Object(input)) = self.variable(name) else { return false };
            return input.get(ARGUMENT) == Some(&ConstValue::Boolean(true));
        }
        let Some(Value::Object(input)) = asked else { return false };
        match input.get(ARGUMENT) {
            Some(Value::Variable(name)) => self.variable(name) == Some(&ConstValue::Boolean(true)),
            Some(value) => *value == Value::Boolean(true),
            None => false,
        }
    }

    fn variable(&self, name: &Name) -> Option<&ConstValue> {
        let default = || {
            let definitions = self.operation.variable_definitions.iter();
            let own = definitions.map(|definition| &definition.node).find(|own| own.name.node == *name)?;
            own.default_value.as_ref().map(|value| &value.node)
        };
        self.variables.get(name).or_else(default)
    }
}

/// Root fields of the schema.
static SERVED: LazyLock<HashSet<(&'static str, String)>> = LazyLock::new(|| {
    let Ok(schema) = async_graphql::parser::parse_schema(sdl()) else { return HashSet::new() };
    let mut served = HashSet::new();
    for definition in schema.definitions {
        let TypeSystemDefinition::Type(definition) = definition else { continue };
        let root = [OperationType::Query, OperationType::Mutation, OperationType::Subscription].map(root);
        let root = root.into_iter().find(|root| definition.node.name.node == *root);
        if let (Some(root), TypeKind::Object(object)) = (root, definition.node.kind) {
            served.extend(object.fields.into_iter().map(|field| (root, field.node.name.node.to_string())));
        }
    }
    served
});

/// Whether the schema has the root field, or may have it: what it hides begins with an underscore.
fn is_served(kind: OperationType, field: &str) -> bool {
    SERVED.is_empty() || field.starts_with('_') || SERVED.contains(&(root(kind), field.to_owned()))
}

const fn root(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}
