//! The records of one namespace in memory: addresses, codes, facets, side by side.
//!
//! A removed record's place is taken by the last one, so that scans meet no holes.

use crate::index::local::best::Best;
use crate::index::local::bitmap::Bitmap;
use crate::index::local::code;
use crate::index::local::code::Head;
use crate::index::local::code::Layout;
use crate::index::local::code::Prepared;
use crate::index::local::facets::Facets;

/// The directions of the codes.
#[derive(Debug)]
enum Directions {
    Bits { words: usize, all: Vec<u64> },
    Bytes { dimension: usize, all: Vec<i8> },
}

/// The records of one namespace.
#[derive(Debug)]
pub struct Segment {
    /// The namespace.
    pub namespace: String,
    layout: Layout,
    numbers: Vec<i64>,
    heads: Vec<Head>,
    directions: Directions,
    facets: Facets,
}

/// Which records of a segment are meant.
#[derive(Debug, Clone)]
pub enum Places {
    /// All of so many.
    All(usize),
    /// Some.
    Some(Bitmap),
}

impl Places {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::All(count) => *count,
            Self::Some(bitmap) => bitmap.count(),
        }
    }

    /// Calls `visit` with each.
    fn each(&self, mut visit: impl FnMut(u32)) {
        match self {
            Self::All(count) => (0..u32::try_from(*count).unwrap_or(u32::MAX)).for_each(visit),
            Self::Some(bitmap) => bitmap.places().for_each(&mut visit),
        }
    }
}

impl Segment {
    /// An empty segment.
    #[must_use]
    pub fn new(namespace: &str, layout: Layout) -> Self {
        Self {
            namespace: namespace.to_owned(),
            layout,
            numbers: Vec::new(),
            heads: Vec::new(),
            directions: match layout {
                Layout::Bits { words, .. } => Directions::Bits { words, all: Vec::new() },
                Layout::Bytes { dimension } => Directions::Bytes { dimension, all: Vec::new() },
            },
            facets: Facets::default(),
        }
    }

    /// How many records there are.
    #[must_use]
    pub const fn records(&self) -> usize {
        self.numbers.len()
    }

    /// The address of the record at a place.
    #[must_use]
    pub fn number(&self, place: u32) -> i64 {
        self.numbers[place as usize]
    }

    /// Puts a record at `place`, or after the last; gives its place. A code of another layout is refused.
    pub fn put(&mut self, place: Option<u32>, number: i64, code: &[u8], facets: &[u8]) -> Option<u32> {
        if code.len() != self.layout.bytes() {
            return None;
        }
        let (head, direction) = code::split(code)?;
        let next = u32::try_from(self.numbers.len()).ok()?;
        let at = place.unwrap_or(next);
        if at == next {
            self.numbers.push(number);
            self.heads.push(head);
            self.facets.push(facets);
        } else {
            self.heads[at as usize] = head;
            self.facets.replace(at, facets);
        }
        match &mut self.directions {
            Directions::Bits { words, all } => {
                write(all, at, *words, direction.as_chunks().0.iter().map(|eight| u64::from_le_bytes(*eight)))
            }
            Directions::Bytes { dimension, all } => {
                write(all, at, *dimension, direction.iter().map(|byte| byte.cast_signed()))
            }
        }
        Some(at)
    }

    /// Removes the record at a place; gives the address of the one that took it.
    pub fn swap_remove(&mut self, place: u32) -> Option<i64> {
        let at = place as usize;
        if at >= self.numbers.len() {
            return None;
        }
        self.numbers.swap_remove(at);
        self.heads.swap_remove(at);
        self.facets.swap_remove(place);
        match &mut self.directions {
            Directions::Bits { words, all } => cut(all, at, *words),
            Directions::Bytes { dimension, all } => cut(all, at, *dimension),
        }
        self.numbers.get(at).copied()
    }

    /// The places that fulfil a filter.
    #[must_use]
    pub fn select(&self, filter: Option<&crate::filter::Filter>) -> Places {
        match filter {
            None => Places::All(self.records()),
            Some(filter) => {
                let bitmap = self.facets.select(filter);
                if bitmap.count() == self.records() { Places::All(self.records()) } else { Places::Some(bitmap) }
            }
        }
    }

    /// All of these places.
    pub fn all(&self, places: &Places, mut visit: impl FnMut(i64)) {
        places.each(|place| visit(self.number(place)));
    }

    /// Offers these places to `best`: by the cheap estimate, or by the bound where there is only one step.
    pub fn scan(&self, query: &Prepared, places: &Places, segment: u32, best: &mut Best) {
        match &self.directions {
            Directions::Bits { words, all } => match places {
                Places::All(_) => {
                    for ((place, code), head) in (0u32..).zip(all.chunks_exact(*words)).zip(&self.heads) {
                        best.offer(query.quick_bits(*head, code), (segment, place));
                    }
                }
                Places::Some(bitmap) => bitmap.places().for_each(|place| {
                    let (head, code) = (self.heads[place as usize], part(all, place, *words));
                    best.offer(query.quick_bits(head, code), (segment, place));
                }),
            },
            Directions::Bytes { dimension, all } => places.each(|place| {
                let (head, code) = (self.heads[place as usize], part(all, place, *dimension));
                best.offer(query.bound_bytes(head, code), (segment, place));
            }),
        }
    }

    /// What the record of one place scores at most.
    #[must_use]
    pub fn bound(&self, query: &Prepared, place: u32) -> f64 {
        let head = self.heads[place as usize];
        match &self.directions {
            Directions::Bits { words, all } => query.bound_bits(head, part(all, place, *words)),
            Directions::Bytes { dimension, all } => query.bound_bytes(head, part(all, place, *dimension)),
        }
    }
}

fn part<T>(all: &[T], place: u32, length: usize) -> &[T] {
    &all[place as usize * length..(place as usize + 1) * length]
}

fn write<T: Copy>(all: &mut Vec<T>, place: u32, length: usize, items: impl Iterator<Item = T>) {
    let start = place as usize * length;
    if start == all.len() {
        all.extend(items);
    } else {
        all[start..start + length].iter_mut().zip(items).for_each(|(old, new)| *old = new);
    }
}

/// Removes a part of `length`; the last one takes its place.
fn cut<T: Copy>(all: &mut Vec<T>, place: usize, length: usize) {
    let last = all.len() - length;
    all.copy_within(last.., place * length);
    all.truncate(last);
}
