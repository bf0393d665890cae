//! `/api/pinecone/reconcile`: comparing the index with the rows, and mending it.

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::error::Rule;
use crate::json::Json;
use crate::rest::extract::Call;
use crate::rest::extract::Outcome;
use crate::rest::extract::json;
use crate::rest::fields::boolean;
use crate::rest::fields::flaw;
use crate::rest::fields::string;
use crate::rest::openapi::Refusal;
use crate::service::Ctx;
use crate::service::reconcile;
use crate::service::reconcile::Class;
use crate::service::reconcile::FindingRow;
use crate::service::reconcile::Mode;

/// Findings of each class that an answer shows.
const FINDINGS: u64 = 100;

/// What a check of the index found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconcileReport)]
pub struct ReconcileOut {
    /// `equal`; `different`; or `incomplete` when nothing differs of what could be compared, and not all could be.
    status: &'static str,
    /// The job, whose findings can be paged over GraphQL.
    job_id: String,
    /// `check` or `repair`.
    mode: &'static str,
    /// Records and rows that were compared.
    checked: i64,
    /// Those that could not be: on their way to the index, or written to it a moment ago.
    skipped: i64,
    /// Findings whose repair was begun.
    repaired: i64,
    missing: FindingsOut,
    stale: FindingsOut,
    orphaned: FindingsOut,
    resurrected: FindingsOut,
    foreign: FindingsOut,
    legacy: FindingsOut,
}

/// The findings of one class.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconcileFindings)]
pub struct FindingsOut {
    /// How many there are.
    count: i64,
    /// The first hundred.
    records: Vec<FindingOut>,
}

/// One record that is not what the rows say.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReconcileFinding)]
pub struct FindingOut {
    namespace: String,
    id: String,
    /// What differs, in one line.
    detail: Option<String>,
}

impl From<FindingRow> for FindingOut {
    fn from(row: FindingRow) -> Self {
        let FindingRow { class: _, namespace, vector_id, detail } = row;
        Self { namespace, id: vector_id, detail }
    }
}

impl ReconcileOut {
    /// The report of a check that has ended.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(cx: &Ctx, outcome: reconcile::Outcome) -> Result<Self, Error> {
        let reconcile::Outcome { job, report } = outcome;
        let findings = async |class: Class| {
            let records = reconcile::first_findings(cx, &job.id, class, FINDINGS).await?;
            let records = records.into_iter().map(FindingOut::from).collect();
            Ok::<_, Error>(FindingsOut { count: report.count(class), records })
        };
        Ok(Self {
            status: match (report.differences(), report.skipped) {
                (1.., _) => "different",
                (_, 1..) => "incomplete",
                (_, _) => "equal",
            },
            mode: report.mode.name(),
            checked: report.checked,
            skipped: report.skipped,
            repaired: report.repaired,
            missing: findings(Class::Missing).await?,
            stale: findings(Class::Stale).await?,
            orphaned: findings(Class::Orphaned).await?,
            resurrected: findings(Class::Resurrected).await?,
            foreign: findings(Class::Foreign).await?,
            legacy: findings(Class::Legacy).await?,
            job_id: job.id,
        })
    }
}

/// Compare the index with the rows.
#[utoipa::path(
    post, path = "/api/pinecone/reconcile", tag = "pinecone", operation_id = "reconcile_index",
    params(
        ("mode" = Option<String>, Query, description = "`check` tells differences (the default), `repair` mends them"),
        ("remove_legacy" = Option<bool>, Query, description = "With `repair`: also delete what an older exporter left (false)"),
    ),
    responses(
        (status = 200, description = "What was found, once what was mended is settled. A difference counts when it was seen twice, a few minutes apart, so this may take as long", body = ReconcileOut),
        (status = 503, description = "The index is paused or does not answer, or the check takes longer than a request may wait; the job goes on", body = Refusal),
    ),
)]
pub async fn reconcile_index(call: Call) -> Outcome {
    let rule = |text: &str| match Mode::from_name(text) {
        Some(_) => Ok(()),
        None => Err(Rule::Value("must be check or repair".to_owned())),
    };
    let mut form = call.form();
    let mode = form.query("mode", string(rule)).as_deref().and_then(Mode::from_name).unwrap_or_default();
    let legacy = |value: &Json| match boolean(value)? {
        true if mode == Mode::Check => flaw(Rule::Value("is for the mode repair".to_owned()), value),
        asked => Ok(asked),
    };
    let remove_legacy = form.query("remove_legacy", legacy).unwrap_or_default();
    let (mode, remove_legacy) = form.finish(Some((mode, remove_legacy)))?;
    let (job, _) = reconcile::start(call.cx(), mode, remove_legacy).await?;
    let outcome = reconcile::wait(call.cx(), &job.id).await?;
    json(StatusCode::OK, &ReconcileOut::of(call.cx(), outcome).await?)
}
