//! What a document may cost before anybody works on it.
//!
//! Parsing nests as deep as the text does, and several rules of validation unfold
//! every fragment at every spread: both are bounded here, in time linear in the
//! text. First the text's nesting and size, then, on the parsed document, what it
//! unfolds to. A document that passes is cheap to validate.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::Positioned;
use async_graphql::parser::types::Directive;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::types::FragmentDefinition;
use async_graphql::parser::types::OperationType;
use async_graphql::parser::types::Selection;
use async_graphql::parser::types::SelectionSet;

/// How deep brackets of any kind may nest in the text.
const MAX_NESTING: usize = 100;
/// How many words, numbers, strings and brackets the text may have: parsing takes about a microsecond for each.
const MAX_TOKENS: usize = 100_000;
/// Bytes of one name or number: what looks for similar names takes time for each.
const MAX_WORD: usize = 1_000;
/// How many selections, arguments and directives a document may unfold to.
const MAX_UNFOLDED: u64 = 10_000;
/// How deep selections may nest once unfolded.
const MAX_DEPTH: u32 = 30;
/// How many arguments or directives may stand at one selection.
const MAX_AT_ONE: usize = 50;
/// How often lists of the schema may nest in an introspection: each level multiplies the answer.
const MAX_SCHEMA_LISTS: u32 = 3;

/// Refuses text that nests too deep for a recursive parser, or is too long for it.
///
/// # Errors
/// A sentence.
pub fn text(query: &str) -> Result<(), String> {
    let bytes = query.as_bytes();
    let (mut at, mut depth, mut tokens, mut word) = (0, 0usize, 0usize, 0usize);
    while let Some(byte) = bytes.get(at) {
        let starts = at == 0 || !is_word(bytes[at - 1]) || !is_word(*byte);
        tokens += usize::from(starts && !byte.is_ascii_whitespace() && *byte != b',');
        if tokens > MAX_TOKENS {
            return Err(format!("The document is longer than {MAX_TOKENS} tokens; give values as variables"));
        }
        word = if is_word(*byte) { word + 1 } else { 0 };
        if word > MAX_WORD {
            return Err(format!("A name or a number of the document is longer than {MAX_WORD} bytes"));
        }
        match byte {
            b'#' => at += bytes[at..].iter().take_while(|byte| !matches!(byte, b'\n' | b'\r')).count(),
            b'"' if bytes[at..].starts_with(b"\"\"\"") => at = after_block(bytes, at + 3),
            b'"' => at = after_string(bytes, at + 1),
            b'{' | b'[' | b'(' => {
                depth += 1;
                at += 1;
                if depth > MAX_NESTING {
                    return Err(format!("The document nests deeper than {MAX_NESTING} brackets"));
                }
            }
            b'}' | b']' | b')' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+') || !byte.is_ascii()
}

fn after_string(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            b'\n' | b'\r' => return at,
            _ => at += 1,
        }
    }
    at
}

fn after_block(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        if bytes[at..].starts_with(b"\\\"\"\"") {
            at += 4;
        } else if bytes[at..].starts_with(b"\"\"\"") {
            return at + 3;
        } else {
            at += 1;
        }
    }
    at
}

/// Refuses a document that unfolds to too much, whose fragments go round in circles, or that subscribes to several
/// things at once.
///
/// # Errors
/// A sentence.
pub fn document(document: &ExecutableDocument) -> Result<(), String> {
    let mut walk = Walk { fragments: &document.fragments, known: HashMap::new() };
    let mut total = 0u64;
    // Rules unfold fragments also from their definitions, so these count by themselves.
    for name in document.fragments.keys() {
        total = total.saturating_add(walk.fragment(name)?.size);
    }
    for (_, operation) in document.operations.iter() {
        let directives = walk.directives(&operation.node.directives)?;
        let cost = walk.selections(&operation.node.selection_set.node, 0)?;
        total = total.saturating_add(cost.size).saturating_add(directives);
        if cost.depth > MAX_DEPTH {
            return Err(format!("The operation nests deeper than {MAX_DEPTH} selections"));
        }
        if cost.schema_lists > MAX_SCHEMA_LISTS {
            return Err(format!("The introspection nests more than {MAX_SCHEMA_LISTS} lists of the schema"));
        }
    }
    if total > MAX_UNFOLDED {
        return Err(format!("The document unfolds to more than {MAX_UNFOLDED} selections and arguments"));
    }
    let subscriptions = document.operations.iter().filter(|(_, one)| one.node.ty == OperationType::Subscription);
    for (_, subscription) in subscriptions {
        if walk.root_fields(&subscription.node.selection_set.node) > 1 {
            return Err("A subscription must have exactly one root field".to_owned());
        }
    }
    Ok(())
}

/// What a selection set unfolds to.
#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    size: u64,
    depth: u32,
    schema_lists: u32,
}

struct Walk<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// What each fragment costs; `None` while it is being looked at.
    known: HashMap<&'a str, Option<Cost>>,
}

impl<'a> Walk<'a> {
    fn fragment(&mut self, name: &'a str) -> Result<Cost, String> {
        match self.known.get(name) {
            Some(Some(cost)) => return Ok(*cost),
            Some(None) => return Err(format!("The fragment \"{name}\" contains itself")),
            None => {}
        }
        // An unknown fragment is validation's to report.
        let Some(fragment) = self.fragments.get(name) else { return Ok(Cost::default()) };
        self.known.insert(name, None);
        let directives = self.directives(&fragment.node.directives)?;
        let mut cost = self.selections(&fragment.node.selection_set.node, 0)?;
        cost.size = cost.size.saturating_add(directives);
        self.known.insert(name, Some(cost));
        Ok(cost)
    }

    /// How many fields a set has once fragments are unfolded; the document is known to be small.
    fn root_fields(&self, set: &SelectionSet) -> usize {
        let counts = set.items.iter().map(|selection| match &selection.node {
            Selection::Field(_) => 1,
            Selection::InlineFragment(inline) => self.root_fields(&inline.node.selection_set.node),
            Selection::FragmentSpread(spread) => self
                .fragments
                .get(&spread.node.fragment_name.node)
                .map_or(0, |fragment| self.root_fields(&fragment.node.selection_set.node)),
        });
        counts.sum()
    }

    fn directives(&self, directives: &[Positioned<Directive>]) -> Result<u64, String> {
        let mut size = few(directives.len(), "directives")?;
        for directive in directives {
            size += few(directive.node.arguments.len(), "arguments")?;
        }
        Ok(size)
    }

    fn selections(&mut self, set: &'a SelectionSet, nesting: u32) -> Result<Cost, String> {
        if nesting > MAX_DEPTH {
            return Err(format!("The operation nests deeper than {MAX_DEPTH} selections"));
        }
        let mut cost = Cost::default();
        for selection in &set.items {
            let (own, below, list) = match &selection.node {
                Selection::Field(field) => {
                    let below = self.selections(&field.node.selection_set.node, nesting + 1)?;
                    let arguments = few(field.node.arguments.len(), "arguments")?;
                    let name = field.node.name.node.as_str();
                    let list = matches!(name, "fields" | "inputFields" | "interfaces" | "possibleTypes");
                    (arguments + self.directives(&field.node.directives)?, below, list)
                }
                Selection::FragmentSpread(spread) => {
                    let below = self.fragment(&spread.node.fragment_name.node)?;
                    (self.directives(&spread.node.directives)?, below, false)
                }
                Selection::InlineFragment(inline) => {
                    let below = self.selections(&inline.node.selection_set.node, nesting + 1)?;
                    (self.directives(&inline.node.directives)?, below, false)
                }
            };
            cost.size = cost.size.saturating_add(1 + own).saturating_add(below.size);
            cost.depth = cost.depth.max(below.depth.saturating_add(1));
            cost.schema_lists = cost.schema_lists.max(below.schema_lists + u32::from(list));
        }
        Ok(cost)
    }
}

fn few(count: usize, what: &str) -> Result<u64, String> {
    if count > MAX_AT_ONE { Err(format!("More than {MAX_AT_ONE} {what} at one place")) } else { Ok(count as u64) }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    fn judge(query: &str) -> Result<(), String> {
        text(query)?;
        document(&parse_query(query).map_err(|error| error.to_string())?)
    }

    #[test]
    fn brackets_in_strings_and_comments_do_not_nest() {
        let quoted = format!("{{ a(b: \"{0}\\\"{0}\", c: \"\"\"{0}\\\"\"\"{0}\"\"\") }} # {0}", "{".repeat(200));
        assert_eq!(text(&quoted), Ok(()));
        assert!(text(&"{a".repeat(100_000)).is_err());
        assert!(text(&format!("{{a(b:{}", "[".repeat(100_000))).is_err());
    }

    #[test]
    fn fragments_that_double_each_other_are_refused_in_linear_time() {
        let mut query = String::from("{ ...f0 } fragment f29 on Query { server { name } }");
        for i in 0..29 {
            query.push_str(&format!(" fragment f{i} on Query {{ ...f{0} ...f{0} }}", i + 1));
        }
        assert!(judge(&query).is_err());
        assert!(judge("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }").is_err());
        assert!(judge("{ ...a } fragment a on Query { ...a ...a }").is_err());
    }

    #[test]
    fn introspection_of_tools_passes_and_introspection_in_circles_does_not() {
        let circle =
            "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }";
        assert!(judge(circle).is_err());
        assert_eq!(
            judge("{ __schema { types { fields { type { ofType { ofType { ofType { name } } } } } } } }"),
            Ok(())
        );
    }

    #[test]
    fn long_names_are_refused_and_long_strings_and_comments_are_not() {
        let long = "y".repeat(1001);
        assert!(text(&format!("{{ {long} }}")).is_err());
        assert!(text(&format!("{{ {} }}", "é".repeat(501))).is_err());
        assert_eq!(text(&format!("{{ a(b: \"{long}\") {} }} # {long}", "y".repeat(1000))), Ok(()));
        assert_eq!(text(&"yy ".repeat(1000)), Ok(()));
    }

    #[test]
    fn many_arguments_at_one_field_are_refused() {
        let arguments: String = (0..51).map(|i| format!("a{i}: 1 ")).collect();
        assert!(judge(&format!("{{ a({arguments}) }}")).is_err());
        assert!(judge(&format!("{{ {} }}", "a ".repeat(10_001))).is_err());
    }
}
