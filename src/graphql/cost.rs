//! How many objects an operation may answer with, judged before anybody reads a row.
//!
//! Every list counts as long as its page may be, so nested pages multiply. Looking
//! takes a step for each selection that the document unfolds to, and the guard has
//! bounded those.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::Positioned;
use async_graphql::Variables;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::types::Field;
use async_graphql::parser::types::FragmentDefinition;
use async_graphql::parser::types::OperationType;
use async_graphql::parser::types::Selection;
use async_graphql::parser::types::SelectionSet;
use async_graphql_value::ConstValue;
use async_graphql_value::Value;

use crate::service::search;

/// How many objects one answer may have.
pub const MAX_OBJECTS: u64 = 500_000;
/// How long a page is when nothing is said.
const PAGE: u64 = 20;
/// How long each list of the activity is when nothing is said, and at most.
const ACTIVITY: u64 = 100;

/// Refuses a document one of whose operations may answer with too many objects; `page` is the longest page.
///
/// The document must have passed the guard: the walk relies on its depth and its size.
///
/// # Errors
/// A sentence.
pub fn document(document: &ExecutableDocument, variables: &Variables, page: u64) -> Result<(), String> {
    let mut walk = Walk { fragments: &document.fragments, variables, page, known: HashMap::new() };
    let most = document.operations.iter().map(|(_, operation)| {
        let root = if operation.node.ty == OperationType::Mutation { Lists::Mutation } else { Lists::Paged };
        walk.objects(&operation.node.selection_set.node, root)
    });
    let most = most.max().unwrap_or(0);
    if most > MAX_OBJECTS {
        return Err(format!(
            "The operation may answer with {most} objects, and the limit is {MAX_OBJECTS}: ask for shorter pages"
        ));
    }
    Ok(())
}

/// How long the lists of a selection set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lists {
    /// As long as their arguments say.
    Paged,
    /// The root of mutations: what a mutation answers is as long as its input.
    Mutation,
    /// So long: without arguments of their own, as the parent's say.
    Long(u64),
}

struct Walk<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    variables: &'a Variables,
    page: u64,
    /// What each fragment was found to hold.
    known: HashMap<(&'a str, Lists), u64>,
}

impl<'a> Walk<'a> {
    fn objects(&mut self, set: &'a SelectionSet, lists: Lists) -> u64 {
        let costs = set.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => self.field(&field.node, lists),
            Selection::InlineFragment(inline) => self.objects(&inline.node.selection_set.node, lists),
            Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, lists),
        });
        costs.fold(0, u64::saturating_add)
    }

    fn fragment(&mut self, name: &'a str, lists: Lists) -> u64 {
        if let Some(known) = self.known.get(&(name, lists)) {
            return *known;
        }
        // An unknown fragment is validation's to report.
        let Some(fragment) = self.fragments.get(name) else { return 0 };
        let objects = self.objects(&fragment.node.selection_set.node, lists);
        self.known.insert((name, lists), objects);
        objects
    }

    fn field(&mut self, field: &'a Field, lists: Lists) -> u64 {
        let name = field.name.node.as_str();
        let set = &field.selection_set.node;
        // What has no selections is no object, and the schema has limits of its own.
        if set.items.is_empty() || name.starts_with("__") {
            return 0;
        }
        let (count, own, inner) = match (name, lists) {
            (_, Lists::Mutation) => (1, 1, Lists::Long(self.longest_input(field))),
            ("documents" | "chunks" | "embeddings" | "outcomes", Lists::Long(length)) => (length, 1, Lists::Paged),
            ("documents" | "chunks" | "embeddings" | "syncJobs" | "syncSlots", _) => {
                (self.asked(field, PAGE, self.page), 1, Lists::Paged)
            }
            ("search", _) => (self.searched(field), 1, Lists::Paged),
            ("activity", _) => (1, 1, Lists::Long(self.asked(field, ACTIVITY, ACTIVITY))),
            ("nodes", _) if field.get_argument("ids").is_some() => (self.longest_input(field), 1, Lists::Paged),
            ("targets" | "namespaces", _) => (PAGE, 1, Lists::Paged),
            // Parts of a list that was counted.
            ("nodes" | "edges" | "hits" | "pageInfo", _) => (1, 0, Lists::Paged),
            ("node", _) if field.get_argument("id").is_none() => (1, 0, Lists::Paged),
            _ => (1, 1, Lists::Paged),
        };
        self.objects(set, inner).saturating_add(own).saturating_mul(count)
    }

    /// How long a page is: what `first` or `last` says.
    fn asked(&self, field: &Field, default: u64, max: u64) -> u64 {
        let said = ["first", "last"].into_iter().filter_map(|name| field.get_argument(name));
        said.map(|value| self.number(&value.node, default, max)).max().unwrap_or(default)
    }

    /// How many hits a search asks for.
    fn searched(&self, field: &Field) -> u64 {
        let (default, max) = (search::DEFAULT_FIRST.unsigned_abs(), search::MAX_FIRST.unsigned_abs());
        match field.get_argument("input").map(|input| &input.node) {
            Some(Value::Object(input)) => input.get("first").map_or(default, |first| self.number(first, default, max)),
            Some(Value::Variable(name)) => match self.variables.get(name) {
                Some(ConstValue::Object(input)) => {
                    input.get("first").map_or(default, |first| number(first, default, max))
                }
                Some(_) | None => max,
            },
            Some(_) | None => max,
        }
    }

    /// A count that an argument gives. What execution will refuse counts as the most it takes.
    fn number(&self, value: &Value, default: u64, max: u64) -> u64 {
        if let Value::Variable(name) = value {
            // Without a value the operation's own default counts, whatever it is.
            return self.variables.get(name).map_or(max, |given| number(given, default, max));
        }
        if let Value::Number(given) = value {
            return given.as_u64().map_or(max, |given| given.min(max));
        }
        if *value == Value::Null { default } else { max }
    }

    /// The length of the longest list that is, or stands directly in, an argument; 1 when there is none.
    fn longest_input(&self, field: &Field) -> u64 {
        let lengths = field.arguments.iter().map(|(_, value)| {
            if let Value::Object(entries) = &value.node {
                return entries.values().map(|value| self.length(value)).max().unwrap_or(0);
            }
            if let Value::Variable(name) = &value.node
                && let Some(ConstValue::Object(entries)) = self.variables.get(name)
            {
                return entries.values().map(length).max().unwrap_or(0);
            }
            self.length(&value.node)
        });
        lengths.max().unwrap_or(1).max(1)
    }

    fn length(&self, value: &Value) -> u64 {
        if let Value::Variable(name) = value {
            return self.variables.get(name).map_or(0, length);
        }
        if let Value::List(items) = value { items.len() as u64 } else { 0 }
    }
}

fn number(value: &ConstValue, default: u64, max: u64) -> u64 {
    if let ConstValue::Number(given) = value {
        return given.as_u64().map_or(max, |given| given.min(max));
    }
    if *value == ConstValue::Null { default } else { max }
}

const fn length(value: &ConstValue) -> u64 {
    if let ConstValue::List(items) = value { items.len() as u64 } else { 0 }
}
