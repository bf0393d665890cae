//! What an operation may cost, judged before anybody reads a row.
//!
//! An object is a point, a scalar is free. Every list counts as long as its page
//! may be, so nested pages multiply; vectors and searches weigh more. Beside the
//! points, the values of arguments are counted as often as they will be read.
//! Looking takes a step for each selection of the document, each fragment is
//! looked at once for each kind of parent, and the guard has bounded both.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::Pos;
use async_graphql::Positioned;
use async_graphql::Variables;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::types::Field;
use async_graphql::parser::types::FragmentDefinition;
use async_graphql::parser::types::OperationDefinition;
use async_graphql::parser::types::OperationType;
use async_graphql::parser::types::Selection;
use async_graphql::parser::types::SelectionSet;
use async_graphql_value::ConstValue;
use async_graphql_value::Value;

use crate::config::Limits;
use crate::graphql::guard::Flaw;
use crate::service::search;

/// Kinds of things that one transaction does, rarely more.
const DEEDS: u64 = 4;
/// How long a page is when nothing is said.
const PAGE: u64 = 20;
/// How long each list of the activity is when nothing is said, and at most.
const ACTIVITY: u64 = 100;
/// How many embeddings a chunk counts as having: one for each model is usual, and a page they have not.
const EMBEDDINGS: u64 = 5;
/// Points of one vector: its text is as long as that of ten objects, or more.
const VECTOR: u64 = 10;
/// Points of one search, beside those of its hits: it may look at every chunk of the corpus.
const SEARCH: u64 = 100;

/// What an operation costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Points.
    pub points: u64,
    /// Values of arguments, as often as they are read.
    pub values: u64,
}

impl Cost {
    fn and(self, other: Self) -> Self {
        Self { points: self.points.saturating_add(other.points), values: self.values.saturating_add(other.values) }
    }

    fn times(self, count: u64) -> Self {
        Self { points: self.points.saturating_mul(count), values: self.values.saturating_mul(count) }
    }
}

/// What the operation of that name costs, or the only one; of the dearest, where it is not clear which is meant.
///
/// The document must have passed the guard: the walk relies on its depth and its size.
///
/// # Errors
/// When that is over a limit.
pub fn check(
    document: &ExecutableDocument,
    name: Option<&str>,
    variables: &Variables,
    limits: &Limits,
) -> Result<Cost, Flaw> {
    let mut most = (Cost::default(), None);
    for operation in chosen(document, name) {
        let mut walk = Walk {
            fragments: &document.fragments,
            given: given(&operation.node, variables),
            page: limits.graphql_page,
            known: HashMap::new(),
            sizes: HashMap::new(),
        };
        let root = if operation.node.ty == OperationType::Mutation { Lists::Mutation } else { Lists::Root };
        let cost = walk.set(&operation.node.selection_set.node, root);
        if most.1.is_none() || cost.points > most.0.points {
            most = (cost, Some(operation.pos));
        }
    }
    judge(most.0, most.1, limits)
}

fn judge(cost: Cost, at: Option<Pos>, limits: &Limits) -> Result<Cost, Flaw> {
    let Cost { points, values } = cost;
    let most = limits.graphql.cost;
    if points > most {
        let message = format!("The operation costs {points} points, and the limit is {most}: ask for shorter pages");
        return Err(Flaw { cost: Some(points), ..Flaw::over("cost", most, message, at) });
    }
    let most = limits.graphql.values;
    if values > most {
        let message = format!(
            "The arguments of the operation have {values} values, as often as they are read, and the limit is {most}"
        );
        return Err(Flaw { cost: Some(points), ..Flaw::over("values", most, message, at) });
    }
    Ok(cost)
}

/// The operation of that name, or the only one; where it is not clear which, all.
fn chosen<'a>(
    document: &'a ExecutableDocument,
    name: Option<&str>,
) -> impl Iterator<Item = &'a Positioned<OperationDefinition>> {
    let known = document.operations.iter().any(|(own, _)| own.map(Name::as_str) == name);
    let wanted = move |own: Option<&Name>| !known || own.map(Name::as_str) == name;
    document.operations.iter().filter(move |(own, _)| wanted(*own)).map(|(_, operation)| operation)
}

/// The values of the operation's variables: those that came with the request, else their defaults.
fn given<'a>(operation: &'a OperationDefinition, variables: &'a Variables) -> HashMap<&'a str, &'a ConstValue> {
    let declared = operation.variable_definitions.iter().filter_map(|declared| {
        let name = &declared.node.name.node;
        let default = declared.node.default_value.as_ref().map(|value| &value.node);
        Some((name.as_str(), variables.get(name).or(default)?))
    });
    declared.collect()
}

/// How long the lists of a selection set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lists {
    /// The root: as long as their arguments say.
    Root,
    /// The root of mutations: what a mutation answers is as long as its input.
    Mutation,
    /// Below an object: as long as their arguments say, and some have none.
    Object,
    /// Below an edge, whose node was counted with its list.
    Edge,
    /// So long: without arguments of their own, as the parent's say.
    Long(u64),
}

struct Walk<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// The values of variables; what has none is left out.
    given: HashMap<&'a str, &'a ConstValue>,
    page: u64,
    /// What each fragment was found to cost.
    known: HashMap<(&'a str, Lists), Cost>,
    /// How many values each variable was found to hold.
    sizes: HashMap<&'a str, u64>,
}

impl<'a> Walk<'a> {
    fn set(&mut self, set: &'a SelectionSet, lists: Lists) -> Cost {
        let costs = set.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => self.field(&field.node, lists),
            Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node, lists),
            Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node, lists),
        });
        costs.fold(Cost::default(), Cost::and)
    }

    fn fragment(&mut self, name: &'a str, lists: Lists) -> Cost {
        if let Some(known) = self.known.get(&(name, lists)) {
            return *known;
        }
        // An unknown fragment is validation's to report.
        let Some(fragment) = self.fragments.get(name) else { return Cost::default() };
        let cost = self.set(&fragment.node.selection_set.node, lists);
        self.known.insert((name, lists), cost);
        cost
    }

    fn field(&mut self, field: &'a Field, lists: Lists) -> Cost {
        let name = field.name.node.as_str();
        let set = &field.selection_set.node;
        let values = field.arguments.iter().map(|(_, value)| self.size(&value.node)).fold(0, u64::saturating_add);
        let own = Cost { points: 0, values };
        if name.starts_with("__") {
            // The schema has limits of its own.
            return own;
        }
        if set.items.is_empty() {
            let points = if matches!(name, "vector" | "vectorBase64") { VECTOR } else { 0 };
            return Cost { points, ..own };
        }
        // How often, how much each time, whatever it finds, and what the lists below are.
        let (count, each, once, inner) = match (name, lists) {
            (_, Lists::Mutation) => (1, 1, 0, Lists::Long(self.longest_input(field))),
            ("documents" | "chunks" | "embeddings" | "outcomes", Lists::Long(length)) => (length, 1, 0, Lists::Object),
            ("embeddings", Lists::Object | Lists::Edge) => (EMBEDDINGS, 1, 0, Lists::Object),
            (
                "documents" | "chunks" | "embeddings" | "syncJobs" | "syncSlots" | "findings" | "apiKeys" | "auditLog",
                _,
            ) => (self.asked(field, PAGE, self.page), 1, 0, Lists::Object),
            ("search", _) => (self.searched(field), 1, SEARCH, Lists::Object),
            ("activity", _) => (1, 1, 0, Lists::Long(self.asked(field, ACTIVITY, ACTIVITY))),
            ("nodes", Lists::Root) => (self.longest_input(field), 1, 0, Lists::Object),
            ("targets" | "namespaces", _) => (PAGE, 1, 0, Lists::Object),
            ("deeds", _) => (DEEDS, 1, 0, Lists::Object),
            // Parts of a list that was counted.
            ("edges", _) => (1, 0, 0, Lists::Edge),
            ("node", Lists::Edge) | ("nodes" | "hits" | "pageInfo", _) => (1, 0, 0, Lists::Object),
            _ => (1, 1, 0, Lists::Object),
        };
        let below = self.set(set, inner).and(Cost { points: each, values: 0 }).times(count);
        below.and(own).and(Cost { points: once, values: 0 })
    }

    /// How many values an argument has, with those of its variables.
    fn size(&mut self, value: &'a Value) -> u64 {
        match value {
            Value::Variable(name) => {
                let given = self.given.get(name.as_str()).copied();
                *self.sizes.entry(name.as_str()).or_insert_with(|| given.map_or(1, size))
            }
            Value::List(items) => items.iter().map(|item| self.size(item)).fold(1, u64::saturating_add),
            Value::Object(entries) => entries.values().map(|item| self.size(item)).fold(1, u64::saturating_add),
            Value::Null
            | Value::Number(_)
            | Value::String(_)
            | Value::Boolean(_)
            | Value::Binary(_)
            | Value::Enum(_) => 1,
        }
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
            Some(Value::Variable(name)) => match self.given.get(name.as_str()) {
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
            return self.given.get(name.as_str()).map_or(default, |given| number(given, default, max));
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
                && let Some(ConstValue::Object(entries)) = self.given.get(name.as_str())
            {
                return entries.values().map(length).max().unwrap_or(0);
            }
            self.length(&value.node)
        });
        lengths.max().unwrap_or(1).max(1)
    }

    fn length(&self, value: &Value) -> u64 {
        if let Value::Variable(name) = value {
            return self.given.get(name.as_str()).map_or(0, |given| length(given));
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

/// How many values a value has, with itself.
fn size(value: &ConstValue) -> u64 {
    match value {
        ConstValue::List(items) => items.iter().map(size).fold(1, u64::saturating_add),
        ConstValue::Object(entries) => entries.values().map(size).fold(1, u64::saturating_add),
        ConstValue::Null
        | ConstValue::Number(_)
        | ConstValue::String(_)
        | ConstValue::Boolean(_)
        | ConstValue::Binary(_)
        | ConstValue::Enum(_) => 1,
    }
}
