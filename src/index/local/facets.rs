//! What filters read: the metadata of records as columns in memory.
//!
//! A record's facets are written beside its code, so that neither a restart nor a
//! filter reads metadata. Strings are kept as 64-bit hashes: the language compares
//! them for equality only, and what is found is checked against the metadata
//! itself. Keys of the engine (`_cd_…`) are no facets. A field that few records
//! have costs memory for those alone.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::filter::Filter;
use crate::filter::Scalar;
use crate::filter::Test;
use crate::index::local::bitmap::Bitmap;
use crate::json::Json;
use crate::json::Literals;

/// Bytes of a facet as stored: hash of the name, kind, value.
const STORED: usize = 17;
/// A column becomes dense when one record in so many has it.
const DENSE: usize = 8;

/// The kind of a value. Stored: the numbers stay.
mod kind {
    /// The field is not there.
    pub const MISSING: u8 = 0;
    /// A number, as the bits of an f64.
    pub const NUMBER: u8 = 1;
    /// A string, as its hash.
    pub const TEXT: u8 = 2;
    /// False or true, as 0 or 1.
    pub const BOOL: u8 = 3;
    /// One string of a list, as its hash.
    pub const ITEM: u8 = 4;
    /// There, and comparable with nothing.
    pub const OTHER: u8 = 5;
}

/// The facets of a metadata object as stored; of what is no object, none.
#[must_use]
pub fn encode(metadata: &str) -> Vec<u8> {
    let mut stored = Vec::new();
    let Ok(Json::Object(entries)) = Json::parse(metadata.as_bytes(), Literals::Python) else { return stored };
    for (name, value) in entries.iter().filter(|(name, _)| !name.starts_with("_cd_")) {
        let mut put = |kind: u8, value: u64| {
            stored.extend(xxh3_64(name.as_bytes()).to_le_bytes());
            stored.push(kind);
            stored.extend(value.to_le_bytes());
        };
        match value {
            Json::Null => {}
            Json::Bool(bool) => put(kind::BOOL, u64::from(*bool)),
            Json::Number(digits) => match digits.parse() {
                Ok(number) => put(kind::NUMBER, number_bits(number)),
                Err(_) => put(kind::OTHER, 0),
            },
            Json::String(text) => put(kind::TEXT, xxh3_64(text.as_bytes())),
            Json::Array(items) if items.iter().any(|item| item.as_str().is_some()) => {
                for text in items.iter().filter_map(Json::as_str) {
                    put(kind::ITEM, xxh3_64(text.as_bytes()));
                }
            }
            Json::Array(_) | Json::Object(_) => put(kind::OTHER, 0),
        }
    }
    stored
}

/// The bits of a number; `-0` has those of `0`.
fn number_bits(number: f64) -> u64 {
    (number + 0.0).to_bits()
}

/// The value of a field of one record: a kind, and what that kind keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    kind: u8,
    value: u64,
}

const MISSING: Cell = Cell { kind: kind::MISSING, value: 0 };

#[derive(Debug)]
enum Cells {
    /// By place.
    Sparse(HashMap<u32, Cell>),
    /// One for each place; those beyond the end are missing.
    Dense { kinds: Vec<u8>, values: Vec<u64> },
}

/// One field of all records of a segment.
#[derive(Debug)]
struct Column {
    cells: Cells,
    /// The strings of the cells that are lists, and which of these are free.
    lists: Vec<Box<[u64]>>,
    free: Vec<u64>,
}

impl Column {
    fn new() -> Self {
        Self { cells: Cells::Sparse(HashMap::new()), lists: Vec::new(), free: Vec::new() }
    }

    fn set(&mut self, place: u32, cell: Cell, records: usize) {
        let at = place as usize;
        match &mut self.cells {
            Cells::Sparse(cells) => {
                if cell == MISSING {
                    cells.remove(&place);
                    return;
                }
                cells.insert(place, cell);
                if cells.len() * DENSE > records {
                    let mut kinds = vec![kind::MISSING; records];
                    let mut values = vec![0; records];
                    for (place, cell) in cells.drain() {
                        kinds[place as usize] = cell.kind;
                        values[place as usize] = cell.value;
                    }
                    self.cells = Cells::Dense { kinds, values };
                }
            }
            Cells::Dense { kinds, values } => {
                if at >= kinds.len() {
                    if cell == MISSING {
                        return;
                    }
                    kinds.resize(at + 1, kind::MISSING);
                    values.resize(at + 1, 0);
                }
                kinds[at] = cell.kind;
                values[at] = cell.value;
            }
        }
    }

    fn get(&self, place: u32) -> Cell {
        match &self.cells {
            Cells::Sparse(cells) => cells.get(&place).copied().unwrap_or(MISSING),
            Cells::Dense { kinds, values } => match (kinds.get(place as usize), values.get(place as usize)) {
                (Some(&kind), Some(&value)) => Cell { kind, value },
                _ => MISSING,
            },
        }
    }

    fn is_empty(&self) -> bool {
        match &self.cells {
            Cells::Sparse(cells) => cells.is_empty(),
            Cells::Dense { kinds, .. } => kinds.is_empty(),
        }
    }

    /// Makes a place missing, and lets go of its list.
    fn clear(&mut self, place: u32, records: usize) {
        let cell = self.get(place);
        if cell.kind == kind::ITEM {
            self.lists[list_at(cell)] = Box::default();
            self.free.push(cell.value);
        }
        self.set(place, MISSING, records);
    }

    /// A cell of these strings.
    fn list(&mut self, strings: Vec<u64>) -> Cell {
        let value = self.free.pop().unwrap_or_else(|| {
            self.lists.push(Box::default());
            self.lists.len() as u64 - 1
        });
        let cell = Cell { kind: kind::ITEM, value };
        self.lists[list_at(cell)] = strings.into();
        cell
    }

    /// Moves the value of `last` to `place`.
    fn swap_remove(&mut self, place: u32, last: u32, records: usize) {
        self.clear(place, records);
        if place != last {
            let cell = self.get(last);
            self.set(last, MISSING, records);
            self.set(place, cell, records);
        }
        if let Cells::Dense { kinds, values } = &mut self.cells {
            kinds.truncate(last as usize);
            values.truncate(last as usize);
        }
    }

    /// The places whose value passes.
    fn select(&self, records: usize, passes: impl Fn(Cell, &[u64]) -> bool) -> Bitmap {
        let list = |cell: Cell| match cell.kind {
            kind::ITEM => self.lists.get(list_at(cell)).map_or(&[][..], |list| list),
            _ => &[],
        };
        let missing = passes(MISSING, &[]);
        match &self.cells {
            Cells::Sparse(cells) => {
                let mut bitmap = Bitmap::filled(records, missing);
                for (&place, &cell) in cells {
                    bitmap.set(place, passes(cell, list(cell)));
                }
                bitmap
            }
            Cells::Dense { kinds, values } => {
                Bitmap::from_fn(records, |place| match (kinds.get(place as usize), values.get(place as usize)) {
                    (Some(&kind), Some(&value)) => {
                        let cell = Cell { kind, value };
                        passes(cell, list(cell))
                    }
                    _ => missing,
                })
            }
        }
    }

    /// The places that pass `test`.
    fn test(&self, records: usize, test: &Test) -> Bitmap {
        let number = |cell: Cell| f64::from_bits(cell.value);
        let ordered = |passes: &dyn Fn(f64) -> bool| {
            self.select(records, |cell, _| cell.kind == kind::NUMBER && passes(number(cell)))
        };
        match test {
            Test::Eq(scalar) => {
                let wanted = Wanted::new(scalar);
                self.select(records, |cell, list| wanted.is(cell, list))
            }
            Test::Ne(scalar) => {
                let wanted = Wanted::new(scalar);
                self.select(records, |cell, list| !wanted.is(cell, list))
            }
            Test::In(scalars) => {
                let wanted = Wanted::any(scalars);
                self.select(records, |cell, list| one_of(&wanted, cell, list))
            }
            Test::NotIn(scalars) => {
                let wanted = Wanted::any(scalars);
                self.select(records, |cell, list| !one_of(&wanted, cell, list))
            }
            Test::Gt(bound) => ordered(&|number| number > *bound),
            Test::Gte(bound) => ordered(&|number| number >= *bound),
            Test::Lt(bound) => ordered(&|number| number < *bound),
            Test::Lte(bound) => ordered(&|number| number <= *bound),
            Test::Exists(there) => self.select(records, |cell, _| (cell.kind != kind::MISSING) == *there),
        }
    }
}

/// A value that cells are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    kind: u8,
    value: u64,
}

impl Wanted {
    fn new(scalar: &Scalar) -> Self {
        match scalar {
            Scalar::Text(text) => Self { kind: kind::TEXT, value: xxh3_64(text.as_bytes()) },
            Scalar::Number(number) => Self { kind: kind::NUMBER, value: number_bits(*number) },
            Scalar::Bool(bool) => Self { kind: kind::BOOL, value: u64::from(*bool) },
        }
    }

    /// All of them, in order.
    fn any(scalars: &[Scalar]) -> Vec<Self> {
        let mut all: Vec<Self> = scalars.iter().map(Self::new).collect();
        all.sort_unstable();
        all
    }

    fn is(self, cell: Cell, list: &[u64]) -> bool {
        if cell.kind == kind::ITEM {
            self.kind == kind::TEXT && list.contains(&self.value)
        } else {
            cell.kind == self.kind && cell.value == self.value
        }
    }
}

/// Up to so many values are compared one by one.
const FEW: usize = 8;

fn one_of(wanted: &[Wanted], cell: Cell, list: &[u64]) -> bool {
    let has = |kind: u8, value: u64| {
        let cell = Wanted { kind, value };
        if wanted.len() <= FEW { wanted.contains(&cell) } else { wanted.binary_search(&cell).is_ok() }
    };
    if cell.kind == kind::ITEM { list.iter().any(|&value| has(kind::TEXT, value)) } else { has(cell.kind, cell.value) }
}

/// Which list a cell stands for.
fn list_at(cell: Cell) -> usize {
    usize::try_from(cell.value).unwrap_or(usize::MAX)
}

/// The facets of the records of a segment, by place.
#[derive(Debug, Default)]
pub struct Facets {
    records: usize,
    columns: HashMap<u64, Column>,
}

impl Facets {
    /// Adds the stored facets of one more record.
    pub fn push(&mut self, stored: &[u8]) {
        let place = u32::try_from(self.records).unwrap_or(u32::MAX);
        self.records += 1;
        self.fill(place, stored);
    }

    /// Puts other facets at a place.
    pub fn replace(&mut self, place: u32, stored: &[u8]) {
        for column in self.columns.values_mut() {
            column.clear(place, self.records);
        }
        self.fill(place, stored);
    }

    fn fill(&mut self, place: u32, stored: &[u8]) {
        let mut lists: HashMap<u64, Vec<u64>> = HashMap::new();
        for facet in stored.chunks_exact(STORED) {
            let number =
                |at: usize| u64::from_le_bytes(std::array::from_fn(|i| facet.get(at + i).copied().unwrap_or_default()));
            let (name, cell) = (number(0), Cell { kind: facet[8], value: number(9) });
            let column = self.columns.entry(name).or_insert_with(Column::new);
            if cell.kind == kind::ITEM {
                lists.entry(name).or_default().push(cell.value);
            } else {
                column.set(place, cell, self.records);
            }
        }
        for (name, list) in lists {
            if let Some(column) = self.columns.get_mut(&name) {
                let cell = column.list(list);
                column.set(place, cell, self.records);
            }
        }
    }

    /// Removes a record; the last one takes its place.
    pub fn swap_remove(&mut self, place: u32) {
        let Some(last) = self.records.checked_sub(1) else { return };
        let at = u32::try_from(last).unwrap_or(u32::MAX);
        for column in self.columns.values_mut() {
            column.swap_remove(place, at, self.records);
        }
        self.records = last;
        self.columns.retain(|_, column| !column.is_empty());
    }

    /// The places that fulfil a filter.
    #[must_use]
    pub fn select(&self, filter: &Filter) -> Bitmap {
        match filter {
            Filter::All(filters) => {
                let all = Bitmap::filled(self.records, true);
                filters.iter().fold(all, |all, filter| all.and(&self.select(filter)))
            }
            Filter::Any(filters) => {
                let none = Bitmap::filled(self.records, false);
                filters.iter().fold(none, |any, filter| any.or(&self.select(filter)))
            }
            Filter::Field { name, test } => match self.columns.get(&xxh3_64(name.as_bytes())) {
                Some(column) => column.test(self.records, test),
                None => Bitmap::filled(self.records, test.passes(None)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn value() -> impl Strategy<Value = String> {
        prop_oneof![
            (0..4i32).prop_map(|number| number.to_string()),
            Just("-0.0".to_owned()),
            (0..3).prop_map(|text| format!("\"t{text}\"")),
            any::<bool>().prop_map(|bool| bool.to_string()),
            prop::collection::vec(0..3, 0..3).prop_map(|items| {
                format!("[{}]", items.iter().map(|item| format!("\"t{item}\"")).collect::<Vec<_>>().join(","))
            }),
            Just("null".to_owned()),
            Just("{\"x\":1}".to_owned()),
        ]
    }

    fn metadata() -> impl Strategy<Value = String> {
        prop::collection::vec((0..3usize, value()), 0..4).prop_map(|fields| {
            let fields: Vec<String> =
                fields.iter().map(|(name, value)| format!("\"{}\":{value}", NAMES[*name])).collect();
            format!("{{{}}}", fields.join(","))
        })
    }

    fn scalar() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            (0..4i32).prop_map(|number| Scalar::Number(number.into())),
            (0..3).prop_map(|text| Scalar::Text(format!("t{text}"))),
            any::<bool>().prop_map(Scalar::Bool),
        ]
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let test = prop_oneof![
            scalar().prop_map(Test::Eq),
            scalar().prop_map(Test::Ne),
            (0..4i32).prop_map(|bound| Test::Gt(bound.into())),
            (0..4i32).prop_map(|bound| Test::Gte(bound.into())),
            (0..4i32).prop_map(|bound| Test::Lt(bound.into())),
            (0..4i32).prop_map(|bound| Test::Lte(bound.into())),
            prop::collection::vec(scalar(), 0..3).prop_map(Test::In),
            prop::collection::vec(scalar(), 0..3).prop_map(Test::NotIn),
            any::<bool>().prop_map(Test::Exists),
        ];
        let field = (0..4usize, test)
            .prop_map(|(name, test)| Filter::Field { name: NAMES.get(name).unwrap_or(&"d").to_string(), test });
        field.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Filter::All),
                prop::collection::vec(inner, 1..3).prop_map(Filter::Any),
            ]
        })
    }

    proptest! {
        #[test]
        fn columns_select_what_the_filter_matches_after_any_changes(
            changes in prop::collection::vec((0..3u8, any::<prop::sample::Index>(), metadata()), 1..60),
            filters in prop::collection::vec(filter(), 1..8),
        ) {
            let mut facets = Facets::default();
            let mut model: Vec<String> = Vec::new();
            for (what, place, metadata) in changes {
                let place = if model.is_empty() { 0 } else { place.index(model.len()) };
                match what {
                    1 if !model.is_empty() => {
                        facets.replace(place as u32, &encode(&metadata));
                        model[place] = metadata;
                    }
                    2 if !model.is_empty() => {
                        facets.swap_remove(place as u32);
                        model.swap_remove(place);
                    }
                    _ => {
                        facets.push(&encode(&metadata));
                        model.push(metadata);
                    }
                }
            }
            for filter in filters {
                let selected: Vec<u32> = facets.select(&filter).places().collect();
                let matching: Vec<u32> = (0u32..).zip(&model).filter(|(_, metadata)| {
                    filter.matches(&Json::parse(metadata.as_bytes(), Literals::Strict).unwrap())
                }).map(|(place, _)| place).collect();
                prop_assert_eq!(selected, matching);
            }
        }
    }
}
