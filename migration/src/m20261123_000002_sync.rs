//! The tables of the sync engine: slots, workers, targets, jobs and their events.
//!
//! Slots carry no foreign keys, because they outlive the rows they came from.
//! Columns that sort or make a cursor compare bytewise on every database.

use sea_orm_migration::prelude::*;

/// This step.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    /// All of the step or nothing, on SQLite too: a process may be killed at any moment.
    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }

    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(
            manager,
            "
CREATE TABLE sync_slots (
  target_id BIGINT NOT NULL, namespace {text} NOT NULL, vector_id {text} NOT NULL,
  embedding_id {text}, document_id {text},
  want TEXT NOT NULL, want_rev BIGINT NOT NULL,
  acked_rev BIGINT NOT NULL DEFAULT 0, acked_hash TEXT, acked_gen BIGINT NOT NULL DEFAULT 0,
  acked_from BIGINT NOT NULL DEFAULT 0, acked_at BIGINT, acked_lsn BIGINT,
  due_at BIGINT,
  dirty_epoch BIGINT, dirty_rev BIGINT,
  claim_token TEXT, claim_worker {text}, claimed_at BIGINT,
  doubt_until BIGINT NOT NULL DEFAULT 0, doubt_hash TEXT,
  attempts INT NOT NULL DEFAULT 0, error_code TEXT, error_text TEXT, error_at BIGINT,
  quarantine TEXT, updated_at BIGINT NOT NULL,
  PRIMARY KEY (target_id, namespace, vector_id));
CREATE INDEX sync_slots_due   ON sync_slots (target_id, want, namespace, due_at, vector_id)
  WHERE due_at IS NOT NULL AND claim_token IS NULL AND quarantine IS NULL;
CREATE INDEX sync_slots_dirty ON sync_slots (target_id, dirty_epoch) WHERE dirty_epoch IS NOT NULL;
CREATE INDEX sync_slots_emb   ON sync_slots (embedding_id);
CREATE INDEX sync_slots_doc   ON sync_slots (document_id, namespace, vector_id);
CREATE INDEX sync_slots_claim ON sync_slots (claim_worker) WHERE claim_worker IS NOT NULL;
CREATE TABLE sync_workers (worker_id {text} NOT NULL PRIMARY KEY, beat BIGINT NOT NULL, state TEXT NOT NULL, started_at BIGINT NOT NULL);
CREATE TABLE sync_clock (id INT PRIMARY KEY, epoch BIGINT NOT NULL);
CREATE TABLE sync_targets (id BIGINT PRIMARY KEY, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, identity TEXT NOT NULL,
  generation BIGINT NOT NULL DEFAULT 1, sweep_after TEXT, state TEXT NOT NULL, reason TEXT, dimension INT, metric TEXT NOT NULL, checked_at BIGINT);
CREATE TABLE sync_jobs (
  id {text} NOT NULL PRIMARY KEY, kind TEXT NOT NULL, scope_key {text} NOT NULL, target_id BIGINT NOT NULL,
  state TEXT NOT NULL, epoch BIGINT NOT NULL, total BIGINT NOT NULL DEFAULT 0, done BIGINT NOT NULL DEFAULT 0,
  failed BIGINT NOT NULL DEFAULT 0, upserted BIGINT NOT NULL DEFAULT 0, deleted BIGINT NOT NULL DEFAULT 0,
  event_seq BIGINT NOT NULL DEFAULT 0, cancel_requested INT NOT NULL DEFAULT 0, deadline_at BIGINT, blocked_reason TEXT,
  visibility TEXT NOT NULL DEFAULT 'pending', owner TEXT, error_text TEXT, created_at BIGINT NOT NULL, finished_at BIGINT);
CREATE TABLE sync_job_slots (job_id {text} NOT NULL, namespace {text} NOT NULL, vector_id {text} NOT NULL, PRIMARY KEY (job_id, namespace, vector_id));
CREATE TABLE sync_findings (job_id {text} NOT NULL, class TEXT NOT NULL, namespace {text} NOT NULL, vector_id {text} NOT NULL, detail TEXT, PRIMARY KEY (job_id, class, namespace, vector_id));
CREATE UNIQUE INDEX sync_jobs_active ON sync_jobs (target_id, scope_key) WHERE state IN ('queued','running','settling','verifying');
CREATE TABLE sync_events (job_id {text} NOT NULL, seq BIGINT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, at BIGINT NOT NULL,
  PRIMARY KEY (job_id, seq));
CREATE INDEX sync_slots_quarantined ON sync_slots (target_id, namespace, vector_id) WHERE quarantine IS NOT NULL;
CREATE INDEX sync_slots_acked ON sync_slots (acked_at) WHERE want = 'absent' AND due_at IS NULL;
CREATE INDEX sync_jobs_created ON sync_jobs (created_at, id);
INSERT INTO sync_clock (id, epoch) VALUES (1, 1)
",
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        super::run(
            manager,
            "DROP TABLE sync_events; DROP TABLE sync_findings; DROP TABLE sync_job_slots; DROP TABLE sync_jobs; DROP TABLE sync_targets; DROP TABLE sync_clock; DROP TABLE sync_workers; DROP TABLE sync_slots",
        )
        .await
    }
}
