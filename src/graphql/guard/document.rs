//! A parsed document: what stands in it, and what it unfolds to.
//!
//! Each fragment is looked at once, wherever it is spread: what it unfolds to is
//! kept. So the time is linear in the text, also where what it unfolds to is not.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::Pos;
use async_graphql::Positioned;
use async_graphql::parser::types::Directive;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::types::FragmentDefinition;
use async_graphql::parser::types::OperationType;
use async_graphql::parser::types::Selection;
use async_graphql::parser::types::SelectionSet;

use crate::config::GraphqlLimits;
use crate::graphql::guard::Flaw;

/// How many arguments may stand at one selection.
const MAX_ARGUMENTS: usize = 50;
/// How deep selection sets may nest, those of fragments included: whoever works on a document takes a part of the
/// stack for each.
pub const MAX_SETS: u32 = 32;
/// How often lists of the schema may nest in an introspection: each level multiplies the answer.
const MAX_SCHEMA_LISTS: u32 = 3;
/// Rules unfold fragments also from their definitions: all of these together may be so many times as large.
const DEFINITIONS: u64 = 10;

/// Refuses a document that holds or unfolds to too much, whose fragments go round in circles, or that subscribes to
/// several things at once.
///
/// # Errors
/// What is too much, and where.
pub fn check(document: &ExecutableDocument, limits: &GraphqlLimits) -> Result<(), Flaw> {
    written(document, limits)?;
    unfolded(document, limits)
}

/// The first place where a document asks for the schema. `__typename` is no question for it.
#[must_use]
pub fn introspects(document: &ExecutableDocument) -> Option<Pos> {
    let mut found = Written::default();
    for (_, operation) in document.operations.iter() {
        found.set(&operation.node.selection_set.node);
    }
    for fragment in document.fragments.values() {
        found.set(&fragment.node.selection_set.node);
    }
    found.schema.into_iter().min()
}

/// Judges the document as it is written.
fn written(document: &ExecutableDocument, limits: &GraphqlLimits) -> Result<(), Flaw> {
    let mut found = Written::default();
    let (mut operations, mut variables, mut fragments) = (Vec::new(), Vec::new(), Vec::new());
    for (_, operation) in document.operations.iter() {
        operations.push(operation.pos);
        found.directives(&operation.node.directives);
        for variable in &operation.node.variable_definitions {
            variables.push(variable.pos);
            found.directives(&variable.node.directives);
        }
        found.set(&operation.node.selection_set.node);
    }
    for fragment in document.fragments.values() {
        fragments.push(fragment.pos);
        found.directives(&fragment.node.directives);
        found.set(&fragment.node.selection_set.node);
    }
    at_most("operations", operations, limits.operations)?;
    at_most("fragments", fragments, limits.fragments)?;
    at_most("variables", variables, limits.variables)?;
    at_most("directives", found.directives, limits.directives)?;
    at_most("aliases", found.aliases, limits.aliases)?;
    if let Some(crowded) = found.crowded.into_iter().min() {
        let message = format!("There are more than {MAX_ARGUMENTS} arguments at one place");
        return Err(Flaw::over("arguments", MAX_ARGUMENTS, message, Some(crowded)));
    }
    Ok(())
}

/// Refuses more than `most` of something; the first that is too many is told.
fn at_most(of: &'static str, mut places: Vec<Pos>, most: usize) -> Result<(), Flaw> {
    places.sort();
    let Some(first) = places.get(most) else { return Ok(()) };
    let message = format!("The document has {} {of}, and the limit is {most}", places.len());
    Err(Flaw::over(of, most, message, Some(*first)))
}

/// Where things stand.
#[derive(Default)]
struct Written {
    aliases: Vec<Pos>,
    directives: Vec<Pos>,
    /// Places with too many arguments.
    crowded: Vec<Pos>,
    /// Questions for the schema.
    schema: Vec<Pos>,
}

impl Written {
    fn directives(&mut self, directives: &[Positioned<Directive>]) {
        for directive in directives {
            self.directives.push(directive.pos);
            self.arguments(directive.pos, directive.node.arguments.len());
        }
    }

    fn arguments(&mut self, at: Pos, count: usize) {
        if count > MAX_ARGUMENTS {
            self.crowded.push(at);
        }
    }

    fn set(&mut self, set: &SelectionSet) {
        for selection in &set.items {
            self.directives(selection.node.directives());
            match &selection.node {
                Selection::Field(field) => {
                    self.aliases.extend(field.node.alias.as_ref().map(|alias| alias.pos));
                    self.arguments(field.pos, field.node.arguments.len());
                    if matches!(field.node.name.node.as_str(), "__schema" | "__type") {
                        self.schema.push(field.pos);
                    }
                    self.set(&field.node.selection_set.node);
                }
                Selection::InlineFragment(inline) => self.set(&inline.node.selection_set.node),
                Selection::FragmentSpread(_) => {}
            }
        }
    }
}

/// Judges what the document unfolds to.
fn unfolded(document: &ExecutableDocument, limits: &GraphqlLimits) -> Result<(), Flaw> {
    let mut walk = Walk { fragments: &document.fragments, limits, known: HashMap::new() };
    let mut total = 0u64;
    let mut operations: Vec<_> = document.operations.iter().map(|(_, operation)| operation).collect();
    operations.sort_by_key(|operation| operation.pos);
    for operation in operations {
        let set = &operation.node.selection_set;
        let shape = walk.selections(set, Place { depth: Some(0), sets: 0 })?;
        if operation.node.ty == OperationType::Subscription && shape.top > 1 {
            let message = "A subscription must have exactly one root field".to_owned();
            return Err(Flaw::new(message, Some(operation.pos)));
        }
        if shape.top > limits.root_fields {
            let (count, most) = (shape.top, limits.root_fields);
            let message = format!("The operation has {count} root fields, and the limit is {most}");
            return Err(Flaw::over("rootFields", most, message, Some(operation.pos)));
        }
        if shape.schema_lists > MAX_SCHEMA_LISTS {
            let message = format!("The introspection nests more than {MAX_SCHEMA_LISTS} lists of the schema");
            return Err(Flaw::over("schemaLists", MAX_SCHEMA_LISTS, message, Some(operation.pos)));
        }
        total = total.saturating_add(shape.selections);
        if total > limits.selections {
            return Err(walk.too_many(total, operation.pos));
        }
    }
    let mut fragments: Vec<_> = document.fragments.iter().collect();
    fragments.sort_by_key(|(_, fragment)| fragment.pos);
    for (name, fragment) in fragments {
        let shape = walk.fragment(name, fragment.pos, Place { depth: None, sets: 0 })?;
        total = total.saturating_add(shape.selections);
        if total > limits.selections.saturating_mul(DEFINITIONS) {
            return Err(walk.too_many(total, fragment.pos));
        }
    }
    Ok(())
}

/// What a selection set unfolds to.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    /// All selections.
    selections: u64,
    /// Fields on its first level.
    top: u64,
    /// How deep fields nest, those of an introspection left out.
    depth: u32,
    /// How deep sets nest below it.
    sets: u32,
    /// How deep lists of the schema nest.
    schema_lists: u32,
}

/// Where a selection set is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// How many fields are around it; nothing where they do not count.
    depth: Option<u32>,
    /// How many sets are around it.
    sets: u32,
}

struct Walk<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    limits: &'a GraphqlLimits,
    /// What each fragment unfolds to; `None` while it is being looked at.
    known: HashMap<&'a str, Option<Shape>>,
}

impl<'a> Walk<'a> {
    fn too_many(&self, count: u64, at: Pos) -> Flaw {
        let most = self.limits.selections;
        let message = format!("The document unfolds to {count} selections, and the limit is {most}");
        Flaw::over("selections", most, message, Some(at))
    }

    fn fragment(&mut self, name: &'a str, spread: Pos, place: Place) -> Result<Shape, Flaw> {
        match self.known.get(name) {
            Some(Some(shape)) => return Ok(*shape),
            Some(None) => {
                let message = format!("The fragment \"{name}\" contains itself");
                return Err(Flaw::new(message, Some(spread)));
            }
            None => {}
        }
        // An unknown fragment is validation's to report.
        let Some(fragment) = self.fragments.get(name) else { return Ok(Shape::default()) };
        self.known.insert(name, None);
        let shape = self.selections(&fragment.node.selection_set, place)?;
        self.known.insert(name, Some(shape));
        Ok(shape)
    }

    fn selections(&mut self, set: &'a Positioned<SelectionSet>, place: Place) -> Result<Shape, Flaw> {
        self.sets(place.sets, set.pos)?;
        let mut shape = Shape::default();
        for selection in &set.node.items {
            let at = selection.pos;
            let inside = Place { depth: place.depth, sets: place.sets + 1 };
            let below = match &selection.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    let depth = place.depth.map(|depth| depth + 1);
                    self.depth(depth, at)?;
                    let apart = name.starts_with("__");
                    let inside = Place { depth: depth.filter(|_| !apart), ..inside };
                    let below = if field.node.selection_set.node.items.is_empty() {
                        Shape::default()
                    } else {
                        let below = self.selections(&field.node.selection_set, inside)?;
                        Shape { sets: below.sets + 1, ..below }
                    };
                    let list = matches!(name, "fields" | "inputFields" | "interfaces" | "possibleTypes");
                    Shape {
                        top: 1,
                        depth: if apart { 1 } else { below.depth + 1 },
                        schema_lists: below.schema_lists + u32::from(list),
                        ..below
                    }
                }
                Selection::InlineFragment(inline) => {
                    let below = self.selections(&inline.node.selection_set, inside)?;
                    Shape { sets: below.sets + 1, ..below }
                }
                Selection::FragmentSpread(spread) => {
                    let below = self.fragment(&spread.node.fragment_name.node, at, inside)?;
                    // It may have been looked at in another place.
                    self.depth(place.depth.map(|depth| depth + below.depth), at)?;
                    self.sets(inside.sets + below.sets, at)?;
                    Shape { sets: below.sets + 1, ..below }
                }
            };
            shape = Shape {
                selections: shape.selections.saturating_add(below.selections).saturating_add(1),
                top: shape.top.saturating_add(below.top),
                depth: shape.depth.max(below.depth),
                sets: shape.sets.max(below.sets),
                schema_lists: shape.schema_lists.max(below.schema_lists),
            };
        }
        Ok(shape)
    }

    fn depth(&self, depth: Option<u32>, at: Pos) -> Result<(), Flaw> {
        let most = self.limits.depth;
        if depth.is_none_or(|depth| depth <= most) {
            return Ok(());
        }
        let message = format!("The operation nests deeper than {most} fields");
        Err(Flaw::over("depth", most, message, Some(at)))
    }

    fn sets(&self, sets: u32, at: Pos) -> Result<(), Flaw> {
        if sets <= MAX_SETS {
            return Ok(());
        }
        let message = format!("The document nests deeper than {MAX_SETS} selection sets, those of fragments included");
        Err(Flaw::over("sets", MAX_SETS, message, Some(at)))
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;
    use crate::graphql::guard::Limit;

    fn judge(query: &str) -> Result<(), Flaw> {
        check(&parse_query(query).expect("it parses"), &GraphqlLimits::default())
    }

    fn over(query: &str) -> Option<&'static str> {
        judge(query).err().and_then(|flaw| flaw.over).map(|Limit { of, .. }| of)
    }

    /// A fragment that spreads the next one twice, and so on: two to the power of `count` at the end.
    fn doubling(count: usize) -> String {
        let last = format!(" fragment f{count} on Query {{ server {{ name }} }}");
        (0..count).map(|i| format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1)).collect::<String>() + &last
    }

    #[test]
    fn fragments_that_double_each_other_are_looked_at_once() {
        // Two to the power of 30 selections: without the memory this test would not end.
        let query = format!("{{ ...f0 }}{}", doubling(30));
        assert!(query.len() < 1_400);
        assert_eq!(over(&query), Some("rootFields"));
        let nested = format!("{{ a {{ ...f0 }} }}{}", doubling(28));
        assert_eq!(over(&nested), Some("selections"));
        // Nobody spreads it: it is looked at all the same.
        assert_eq!(over(&format!("{{ a }}{}", doubling(28))), Some("selections"));
    }

    #[test]
    fn circles_of_fragments_are_refused_where_they_close() {
        for (query, column) in [
            ("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }", 61),
            ("{ ...a } fragment a on Query { ...a ...a }", 32),
            ("{ b } fragment a on Query { c { ...a } }", 33),
        ] {
            let flaw = judge(query).unwrap_err();
            assert_eq!((flaw.at, flaw.over), (Some(Pos { line: 1, column }), None), "{}", flaw.message);
        }
    }

    #[test]
    fn a_long_chain_of_fragments_takes_no_deep_stack() {
        let chain: String = (0..45).map(|i| format!(" fragment f{i} on Query {{ ...f{} }}", i + 1)).collect();
        assert_eq!(over(&format!("{{ ...f0 }}{chain} fragment f45 on Query {{ a }}")), Some("sets"));
    }

    #[test]
    fn a_fragment_counts_at_the_depth_where_it_is_spread() {
        let deep = |levels: usize| format!("{}a{}", "a { ".repeat(levels), " }".repeat(levels));
        let query = |around: usize| {
            format!(
                "{{ ...f {}...f{} }} fragment f on Query {{ {} }}",
                "a { ".repeat(around),
                " }".repeat(around),
                deep(5)
            )
        };
        assert_eq!(judge(&query(6)), Ok(()));
        let flaw = judge(&query(7)).unwrap_err();
        assert_eq!(flaw.over, Some(Limit { of: "depth", most: 12 }));
        assert_eq!(flaw.at, Some(Pos { line: 1, column: 36 }));
    }

    #[test]
    fn introspection_of_tools_passes_and_introspection_in_circles_does_not() {
        let circle =
            "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
        assert_eq!(over(circle), Some("schemaLists"));
        let deep = format!("{}name{}", "ofType { ".repeat(12), " }".repeat(12));
        assert_eq!(judge(&format!("{{ __schema {{ types {{ fields {{ type {{ {deep} }} }} }} }} }}")), Ok(()));
    }

    #[test]
    fn many_arguments_at_one_field_are_refused() {
        let arguments: String = (0..51).map(|i| format!("a{i}: 1 ")).collect();
        assert_eq!(over(&format!("{{ a({arguments}) }}")), Some("arguments"));
    }
}
