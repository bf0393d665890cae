//! Documents, chunks and embeddings, as far as a record is made of them; and the touch that follows an edit.

use corpusd::store::record::Rows;
use corpusd::store::vector;

use super::Key;
use super::Moment;
use super::Slot;
use super::TARGET;
use super::Tables;
use super::touched;

#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    pub namespace: String,
    pub title: String,
    pub deleted: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    pub document: String,
    pub text: String,
    pub deleted: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    pub chunk: String,
    pub vector_id: String,
    pub held: bool,
    pub vector: Vec<f32>,
}

impl Tables {
    /// Where an embedding's record belongs, when it is wanted.
    pub fn place(&self, embedding: &Embedding) -> Option<(Key, &Document, &Chunk)> {
        let chunk = self.chunks.get(&embedding.chunk)?;
        let document = self.documents.get(&chunk.document)?;
        let wanted = !embedding.held && !chunk.deleted && !document.deleted;
        wanted.then(|| ((document.namespace.clone(), embedding.vector_id.clone()), document, chunk))
    }

    /// The rows of the record of that key, when it should be present.
    pub fn rows(&self, key: &Key) -> Option<Rows> {
        let (id, embedding) = self.embeddings.iter().find(|(_, embedding)| embedding.vector_id == key.1)?;
        let (place, document, chunk) = self.place(embedding)?;
        (place == *key).then(|| Rows {
            embedding_id: id.clone(),
            vector: vector::to_bytes(&embedding.vector),
            chunk_id: embedding.chunk.clone(),
            chunk_index: 0,
            text: chunk.text.clone(),
            text_cut: false,
            chunk_metadata: None,
            chunk_created_at: 0,
            document_id: chunk.document.clone(),
            title: document.title.clone(),
            source: None,
            document_metadata: None,
        })
    }

    /// Embeddings of a document, live or not.
    pub fn embeddings_of(&self, document: &str) -> Vec<String> {
        let of = |chunk: &str| self.chunks.get(chunk).is_some_and(|chunk| chunk.document == document);
        self.embeddings.iter().filter(|(_, e)| of(&e.chunk)).map(|(id, _)| id.clone()).collect()
    }

    /// `slots::touch`, over a document or some of its embeddings.
    pub fn touch(&mut self, document: &str, only: Option<&[String]>, at: Moment) {
        let epoch = self.epoch;
        let mut gone = Vec::new();
        for (key, slot) in &self.slots {
            let of_document = slot.document_id.as_deref() == Some(document);
            let named = only.is_none_or(|ids| slot.embedding_id.as_ref().is_some_and(|id| ids.contains(id)));
            let embedding = slot.embedding_id.as_ref().and_then(|id| self.embeddings.get(id));
            let wanted = embedding.and_then(|embedding| self.place(embedding)).is_some_and(|place| place.0 == *key);
            if of_document && named && slot.want == "present" && !wanted {
                gone.push(key.clone());
            }
        }
        for key in gone {
            if let Some(slot) = self.slots.get_mut(&key) {
                touched(slot, "absent", epoch, at);
            }
        }
        let mut ids = self.embeddings_of(document);
        ids.retain(|id| only.is_none_or(|only| only.contains(id)));
        self.touch_released(&ids, at);
    }

    /// `slots::touch_released`: the second half of the touch.
    pub fn touch_released(&mut self, ids: &[String], at: Moment) {
        let epoch = self.epoch;
        for id in ids {
            let Some(embedding) = self.embeddings.get(id) else { continue };
            let Some((key, _, chunk)) = self.place(embedding) else { continue };
            let document = chunk.document.clone();
            let slot = self.slots.entry(key.clone()).or_insert_with(|| fresh(&key));
            slot.embedding_id = Some(id.clone());
            slot.document_id = Some(document);
            touched(slot, "present", epoch, at);
        }
    }

    /// `slots::forget_hash`.
    pub fn forget_hash(&mut self, ids: &[String]) {
        for slot in self.slots.values_mut() {
            if slot.want == "present" && slot.embedding_id.as_ref().is_some_and(|id| ids.contains(id)) {
                slot.acked_hash = None;
            }
        }
    }

    /// `slots::want_absent`: gives the keys.
    pub fn want_absent(&mut self, namespace: &str, vector_ids: &[String], at: Moment) -> Vec<Key> {
        let epoch = self.epoch;
        let mut keys = Vec::new();
        for (key, slot) in self.slots.iter_mut().filter(|(key, _)| vector_ids.contains(&key.1)) {
            touched(slot, "absent", epoch, at);
            slot.acked_hash = None;
            keys.push(key.clone());
        }
        for id in vector_ids {
            if keys.iter().all(|key| key.1 != *id) {
                let key = (namespace.to_owned(), id.clone());
                let slot = self.slots.entry(key.clone()).or_insert_with(|| fresh(&key));
                touched(slot, "absent", epoch, at);
                keys.push(key);
            }
        }
        keys
    }
}

/// A slot before its first touch.
pub(super) fn fresh(key: &Key) -> Slot {
    Slot {
        target_id: TARGET,
        namespace: key.0.clone(),
        vector_id: key.1.clone(),
        embedding_id: None,
        document_id: None,
        want: String::new(),
        want_rev: 0,
        acked_rev: 0,
        acked_hash: None,
        acked_gen: 0,
        acked_from: 0,
        acked_at: None,
        acked_lsn: None,
        due_at: None,
        dirty_epoch: None,
        dirty_rev: None,
        claim_token: None,
        claim_worker: None,
        claimed_at: None,
        doubt_until: 0,
        doubt_hash: None,
        attempts: 0,
        error_code: None,
        error_text: None,
        error_at: None,
        quarantine: None,
        updated_at: 0,
    }
}
