//! What users do meanwhile: edits, deletions, holds and jobs, each one transaction of some server.

use crate::remote::POISON;
use crate::tables::Moment;
use crate::tables::Tables;
use crate::tables::corpus::Chunk;
use crate::tables::corpus::Document;
use crate::tables::corpus::Embedding;
use crate::world::Sim;

impl Sim {
    /// One transaction of a user on a server; whatever it writes has a number in the log.
    pub fn edit<T>(&self, process: usize, label: &'static str, work: impl FnOnce(&mut Tables, Moment) -> T) -> T {
        let mut world = self.world();
        world.tell("edit", process as i64, || label.to_owned());
        let made = world.transact(process, |tables, at| {
            let made = work(tables, at);
            tables.rev += 1;
            made
        });
        let rev = world.tables.rev;
        world.processes[process].seen = rev;
        world.wake(process);
        let mut checks = std::mem::take(&mut world.checks);
        checks.note(&world.tables);
        world.checks = checks;
        world.inspect();
        drop(world);
        self.settle();
        made
    }

    /// A user starts a job; gives its id.
    pub fn job(
        &self,
        process: usize,
        label: &'static str,
        start: impl FnOnce(&mut Tables, &str, Moment) -> Option<String>,
    ) -> Option<String> {
        let id = {
            let mut world = self.world();
            format!("j{:06}", world.number())
        };
        let started = self.edit(process, label, |tables, at| start(tables, &id, at));
        if let Some(started) = &started {
            let mut world = self.world();
            let rev = world.tables.rev;
            world.checks.promise(started, rev);
        }
        started
    }
}

impl Tables {
    /// A document with chunks, each with one embedding.
    pub fn create(&mut self, id: &str, chunks: usize, version: u32, at: Moment) {
        let document = Document { namespace: "m".to_owned(), title: format!("t{version}"), deleted: false };
        self.documents.insert(id.to_owned(), document);
        for number in 0..chunks {
            let chunk = format!("c{id}{number}");
            let one = Chunk { document: id.to_owned(), text: format!("x{version}"), deleted: false };
            self.chunks.insert(chunk.clone(), one);
            let name = format!("e{id}{number}");
            let one = Embedding { chunk, vector_id: name.clone(), held: false, vector: vec![version as f32, 1.0] };
            self.embeddings.insert(name, one);
        }
        self.touch(id, None, at);
    }

    pub fn retitle(&mut self, id: &str, version: u32, at: Moment) {
        if let Some(document) = self.documents.get_mut(id).filter(|document| !document.deleted) {
            document.title = format!("t{version}");
            self.touch(id, None, at);
        }
    }

    pub fn move_to(&mut self, id: &str, namespace: &str, at: Moment) {
        if let Some(document) = self.documents.get_mut(id).filter(|document| !document.deleted) {
            namespace.clone_into(&mut document.namespace);
            self.touch(id, None, at);
        }
    }

    pub fn set_deleted(&mut self, id: &str, deleted: bool, at: Moment) {
        if let Some(document) = self.documents.get_mut(id) {
            document.deleted = deleted;
            self.touch(id, None, at);
        }
    }

    pub fn retext(&mut self, id: &str, version: u32, at: Moment) {
        if let Some(chunk) = self.chunks.get_mut(id) {
            chunk.text = format!("x{version}");
            self.touch_chunk(id, at);
        }
    }

    pub fn toggle_chunk(&mut self, id: &str, at: Moment) {
        if let Some(chunk) = self.chunks.get_mut(id) {
            chunk.deleted = !chunk.deleted;
            self.touch_chunk(id, at);
        }
    }

    fn touch_chunk(&mut self, id: &str, at: Moment) {
        let document = self.chunks[id].document.clone();
        let ids: Vec<String> =
            self.embeddings.iter().filter(|(_, embedding)| embedding.chunk == id).map(|(id, _)| id.clone()).collect();
        self.touch(&document, Some(&ids), at);
    }

    pub fn revector(&mut self, id: &str, vector: Vec<f32>, at: Moment) {
        if let Some(embedding) = self.embeddings.get_mut(id) {
            embedding.vector = vector;
            self.touch_embedding(id, at);
        }
    }

    pub fn rename(&mut self, id: &str, vector_id: &str, at: Moment) {
        if self.embeddings.values().any(|other| other.vector_id == vector_id) {
            return;
        }
        if let Some(embedding) = self.embeddings.get_mut(id) {
            vector_id.clone_into(&mut embedding.vector_id);
            self.touch_embedding(id, at);
        }
    }

    fn touch_embedding(&mut self, id: &str, at: Moment) {
        let document = self.chunks[&self.embeddings[id].chunk].document.clone();
        self.touch(&document, Some(&[id.to_owned()]), at);
    }

    pub fn drop_embedding(&mut self, id: &str, at: Moment) {
        if let Some(gone) = self.embeddings.remove(id) {
            let document = self.chunks[&gone.chunk].document.clone();
            self.touch(&document, Some(&[id.to_owned()]), at);
        }
    }

    pub fn drop_document(&mut self, id: &str, at: Moment) {
        self.documents.remove(id);
        let chunks = &mut self.chunks;
        self.embeddings.retain(|_, embedding| chunks.get(&embedding.chunk).is_none_or(|chunk| chunk.document != id));
        chunks.retain(|_, chunk| chunk.document != id);
        self.touch(id, None, at);
    }

    /// A copy with ids of its own; what is copied is not held here.
    pub fn duplicate(&mut self, id: &str, copy: &str, at: Moment) {
        let Some(document) = self.documents.get(id).filter(|document| !document.deleted).cloned() else { return };
        self.documents.insert(copy.to_owned(), document);
        let chunks: Vec<(String, Chunk)> = self
            .chunks
            .iter()
            .filter(|(_, chunk)| chunk.document == id && !chunk.deleted)
            .map(|(id, c)| (id.clone(), c.clone()))
            .collect();
        for (number, (old, chunk)) in chunks.into_iter().enumerate() {
            let name = format!("c{copy}{number}");
            self.chunks.insert(name.clone(), Chunk { document: copy.to_owned(), ..chunk });
            let of: Vec<Embedding> = self.embeddings.values().filter(|e| e.chunk == old).cloned().collect();
            if let Some(embedding) = of.into_iter().next() {
                let id = format!("e{copy}{number}");
                let one = Embedding { chunk: name, vector_id: id.clone(), held: false, ..embedding };
                self.embeddings.insert(id, one);
            }
        }
        self.touch(copy, None, at);
    }
}

fn pick<T: Clone>(rng: &mut fastrand::Rng, of: &[T]) -> Option<T> {
    if of.is_empty() { None } else { Some(of[rng.usize(0..of.len())].clone()) }
}

impl Sim {
    /// Something that a user may do.
    pub fn random_edit(&self) {
        let mut world = self.world();
        let process = world.any_process();
        let roll = world.rng.u32(0..100);
        // Old content comes back now and then.
        let fresh = u32::try_from(world.steps).unwrap_or(0) + 10;
        let version = if world.rng.u32(0..3) == 0 { world.rng.u32(1..4) } else { fresh };
        let documents: Vec<String> = world.tables.documents.keys().cloned().collect();
        let chunks: Vec<String> = world.tables.chunks.keys().cloned().collect();
        let embeddings: Vec<String> = world.tables.embeddings.keys().cloned().collect();
        let rng = &mut world.rng;
        let (document, chunk) = (pick(rng, &documents), pick(rng, &chunks));
        let (embedding, coin) = (pick(rng, &embeddings), rng.bool());
        let (name, namespace) = (format!("v{}", rng.u32(0..3)), if rng.bool() { "m" } else { "n" });
        let missing = ["d0", "d1", "d2"].into_iter().find(|id| !documents.iter().any(|document| document == id));
        drop(world);
        match (roll, document, chunk, embedding) {
            (0..35, _, _, Some(id)) => {
                self.edit(process, "vector", |tables, at| tables.revector(&id, vec![version as f32, 1.0], at));
            }
            (35..45, Some(id), ..) => self.edit(process, "title", |tables, at| tables.retitle(&id, version, at)),
            (45..52, _, Some(id), _) => self.edit(process, "text", |tables, at| tables.retext(&id, version, at)),
            (52..62, Some(id), ..) => self.edit(process, "delete", |tables, at| tables.set_deleted(&id, true, at)),
            (62..72, Some(id), ..) => self.edit(process, "restore", |tables, at| tables.set_deleted(&id, false, at)),
            (72..77, Some(id), ..) => self.edit(process, "move", |tables, at| tables.move_to(&id, namespace, at)),
            (77..82, _, Some(id), _) => self.edit(process, "chunk", |tables, at| tables.toggle_chunk(&id, at)),
            (82..85, _, _, Some(id)) => self.edit(process, "rename", |tables, at| tables.rename(&id, &name, at)),
            (85..87, _, _, Some(id)) => self.edit(process, "drop", |tables, at| tables.drop_embedding(&id, at)),
            (87..90, Some(id), ..) => self.edit(process, "hard delete", |tables, at| tables.drop_document(&id, at)),
            (90..92, _, _, Some(id)) => {
                let vector = if coin { vec![POISON, 1.0] } else { vec![0.0, 0.0] };
                self.edit(process, "poison", |tables, at| tables.revector(&id, vector, at));
            }
            (92..94, Some(id), ..) if missing.is_some() => {
                let copy = missing.unwrap_or_default();
                self.edit(process, "duplicate", |tables, at| tables.duplicate(&id, copy, at));
            }
            _ => {
                if let Some(id) = missing {
                    self.edit(process, "create", |tables, at| tables.create(id, 2, version, at));
                }
            }
        }
    }

    /// A job that somebody starts, or takes back.
    pub fn random_job(&self) {
        let mut world = self.world();
        let process = world.any_process();
        let roll = world.rng.u32(0..10);
        let documents: Vec<String> = world.tables.documents.keys().cloned().collect();
        let embeddings: Vec<String> = world.tables.embeddings.keys().cloned().collect();
        let vectors: Vec<String> = world.tables.embeddings.values().map(|e| e.vector_id.clone()).collect();
        let active = world.tables.active_jobs().into_iter().map(|job| job.id);
        let active: Vec<String> = active.filter(|job| !world.is_rebase(job)).collect();
        let rng = &mut world.rng;
        let (document, embedding) = (pick(rng, &documents), pick(rng, &embeddings));
        let (vector, job) = (pick(rng, &vectors), pick(rng, &active));
        drop(world);
        match (roll, document, embedding, vector, job) {
            (0..2, .., Some(job)) => self.edit(process, "cancel", |tables, at| tables.cancel(&job, at)),
            (2..4, Some(id), ..) => {
                self.job(process, "export a document", |tables, job, at| tables.start_document(job, &id, at));
            }
            (4..6, _, Some(id), ..) => {
                self.job(process, "export embeddings", |tables, job, at| {
                    tables.start_embeddings(job, std::slice::from_ref(&id), at)
                });
            }
            (6, _, _, Some(id), _) => {
                self.job(process, "delete vectors", |tables, job, at| {
                    Some(tables.delete_vectors(job, "m", &[id, "strange".to_owned()], at))
                });
            }
            _ => {
                self.job(process, "export all", |tables, job, at| Some(tables.start_unsynced(job, at)));
            }
        }
    }
}
