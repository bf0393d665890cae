//! The ids that a command brings along, and whether they are free.
//!
//! An id names one row of the whole corpus, a vector id one embedding. Ids that
//! the server makes are not looked for.

use std::collections::HashMap;
use std::collections::HashSet;

use crate::error::Error;
use crate::error::FieldError;
use crate::error::Result;
use crate::error::Rule;
use crate::store;
use crate::store::Tx;

/// Ids with the field each came in.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    ids: Vec<(FieldError, String)>,
    vector_ids: Vec<(FieldError, String)>,
}

/// An error of a field that is broken by what is stored, or by an earlier item.
fn place(field: &str) -> FieldError {
    FieldError::new(field, Rule::Value("is given twice".to_owned()))
}

fn taken(field: &FieldError) -> Error {
    Error::conflict(format!("{}: already taken", field.field()))
}

impl Claims {
    /// Adds the id in `field`.
    pub fn id(&mut self, field: &str, id: &str) {
        self.ids.push((place(field), id.to_owned()));
    }

    /// Adds the vector id in `field`.
    pub fn vector_id(&mut self, field: &str, id: &str) {
        self.vector_ids.push((place(field), id.to_owned()));
    }

    /// Adds the claims of a part of the same command.
    pub fn extend(&mut self, part: Self) {
        self.ids.extend(part.ids);
        self.vector_ids.extend(part.vector_ids);
    }

    /// Adds the claims of a command that is item `index` of the list `field`.
    pub fn inside(&mut self, field: &str, index: usize, item: Self) {
        let into = |(place, id): (FieldError, String)| (place.inside(field, index), id);
        self.ids.extend(item.ids.into_iter().map(into));
        self.vector_ids.extend(item.vector_ids.into_iter().map(into));
    }

    /// The fields that repeat what an earlier field of the command has.
    #[must_use]
    pub fn repeated(&self) -> Vec<FieldError> {
        let mut repeated: Vec<FieldError> = Vec::new();
        for list in [&self.ids, &self.vector_ids] {
            let mut seen = HashSet::new();
            let again = list.iter().filter(|(_, id)| !seen.insert(id.as_str())).map(|(place, _)| place.clone());
            for place in again {
                // An id that is also the vector id is told once.
                if !repeated.contains(&place) {
                    repeated.push(place);
                }
            }
        }
        repeated
    }

    /// Fails when a row other than the embedding `own` has one of them.
    ///
    /// # Errors
    /// [`Error::Conflict`] that names the first such field.
    pub async fn check(&self, tx: &Tx, own: Option<&str>) -> Result<()> {
        if !self.ids.is_empty() {
            let ids: Vec<&str> = self.ids.iter().map(|(_, id)| id.as_str()).collect();
            let found: HashSet<String> = store::ids::taken(tx, &ids).await?.into_iter().collect();
            if let Some((place, _)) = self.ids.iter().find(|(_, id)| found.contains(id)) {
                return Err(taken(place));
            }
            tx.claim(self.ids.iter().map(|(_, id)| id.clone()));
        }
        if !self.vector_ids.is_empty() {
            let ids: Vec<&str> = self.vector_ids.iter().map(|(_, id)| id.as_str()).collect();
            let found: HashMap<String, String> = store::embeddings::vector_ids(tx, &ids).await?.into_iter().collect();
            let other = |id: &String| found.get(id).is_some_and(|embedding| Some(embedding.as_str()) != own);
            if let Some((place, _)) = self.vector_ids.iter().find(|(_, id)| other(id)) {
                return Err(taken(place));
            }
        }
        Ok(())
    }
}
