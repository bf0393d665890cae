//! What an index holds, and the edits that change it.
//!
//! An edit says what is true after it, whatever was true before: it can be kept, and
//! made again in the same order with the same outcome. Records are shared, so that a
//! second, older picture of an index costs pointers.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::emulator::record::Record;
use crate::json::Json;

/// The namespace of whoever names none; `""` is another name of it.
pub const DEFAULT: &str = "__default__";

/// The one name of a namespace.
#[must_use]
pub fn namespace(name: Option<&str>) -> &str {
    name.filter(|name| !name.is_empty()).unwrap_or(DEFAULT)
}

/// One namespace.
#[derive(Debug, Clone, Default)]
pub struct Space {
    /// Its records, in bytewise order of their ids.
    pub records: BTreeMap<String, Arc<Record>>,
    /// The fields that it was created for.
    pub schema: Option<Json>,
}

/// All namespaces of an index.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    /// The namespaces that exist.
    pub spaces: BTreeMap<String, Space>,
    /// How many edits each namespace has seen; it outlives the namespace.
    pub lsns: BTreeMap<String, u64>,
}

/// One change of one namespace.
#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    /// It exists.
    Open {
        /// The fields that it is created for.
        schema: Option<Json>,
    },
    /// It is gone.
    Close,
    /// It holds these records.
    Put(Vec<(String, Arc<Record>)>),
    /// It does not hold these ids.
    Remove(Vec<String>),
    /// It is empty.
    Clear,
    /// It has seen so many edits: how a compacted log goes on counting.
    Count(u64),
}

impl Contents {
    /// Makes an edit; gives its number in the namespace.
    pub fn apply(&mut self, namespace: &str, edit: &Edit) -> u64 {
        match edit {
            Edit::Open { schema } => self.space(namespace).schema.clone_from(schema),
            Edit::Close => {
                self.spaces.remove(namespace);
            }
            Edit::Put(records) => {
                let space = self.space(namespace);
                for (id, record) in records {
                    space.records.insert(id.clone(), record.clone());
                }
            }
            Edit::Remove(ids) => {
                if let Some(space) = self.spaces.get_mut(namespace) {
                    for id in ids {
                        space.records.remove(id);
                    }
                }
            }
            Edit::Clear => {
                if let Some(space) = self.spaces.get_mut(namespace) {
                    space.records.clear();
                }
            }
            Edit::Count(seen) => {
                self.lsns.insert(namespace.to_owned(), *seen);
                return *seen;
            }
        }
        let lsn = self.lsns.entry(namespace.to_owned()).or_default();
        *lsn += 1;
        *lsn
    }

    fn space(&mut self, namespace: &str) -> &mut Space {
        self.spaces.entry(namespace.to_owned()).or_default()
    }

    /// The number of the last edit of a namespace.
    #[must_use]
    pub fn lsn(&self, namespace: &str) -> u64 {
        self.lsns.get(namespace).copied().unwrap_or(0)
    }
}
