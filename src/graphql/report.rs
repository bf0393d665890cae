//! What a check of the index found.

use async_graphql::Context;
use async_graphql::Enum;
use async_graphql::Object;

use crate::error::Result;
use crate::graphql::level::At;
use crate::graphql::level::Row;
use crate::graphql::page;
use crate::graphql::page::Connection;
use crate::graphql::page::Listed;
use crate::graphql::query::counter;
use crate::graphql::query::cx;
use crate::service::reconcile;
use crate::store::page::List;
use crate::store::page::Part;
use crate::store::reconcile::findings;
use crate::store::reconcile::findings::FindingRow;

/// How a record of the index and the rows differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "reconcile::Class")]
pub enum FindingClass {
    /// It should be in the index, and is not. Mended by sending it.
    Missing,
    /// It is in the index, and is not what the rows would send now. Mended by sending it.
    Stale,
    /// It is in the index with this corpus's mark, and nothing here knows it. Mended by deleting it from the index.
    Orphaned,
    /// It is in the index with this corpus's mark, and was deleted from it before. Mended by deleting it again.
    Resurrected,
    /// It is in the index, and this corpus did not write it. Never touched.
    Foreign,
    /// An older exporter left it: its metadata keys, but no mark. Deleted only with `removeLegacy`.
    Legacy,
}

/// One record that is not what the rows say.
#[derive(Clone)]
pub struct Finding(At<FindingRow>);

impl Row for FindingRow {
    type Memo = ();
}

impl Listed for Finding {
    type Row = FindingRow;
    const NAMES: (&'static str, &'static str) = ("FindingConnection", "FindingEdge");

    fn of(row: At<FindingRow>) -> Self {
        Self(row)
    }

    fn key(row: &FindingRow, _list: &List) -> Vec<Part> {
        findings::finding_key(row)
    }
}

/// One record that is not what the rows say.
#[Object]
impl Finding {
    /// How the record and the rows differ.
    async fn class(&self) -> FindingClass {
        self.0.class.into()
    }

    /// The record's namespace in the index.
    async fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The record's id in the index.
    async fn vector_id(&self) -> &str {
        &self.0.vector_id
    }

    /// What differs, in one line; it names fields and shows no content.
    async fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }
}

/// What a check found so far.
#[derive(Debug, Clone)]
pub struct ReconcileReport {
    job_id: String,
    report: reconcile::Report,
}

impl ReconcileReport {
    /// The report of a job.
    #[must_use]
    pub const fn new(job_id: String, report: reconcile::Report) -> Self {
        Self { job_id, report }
    }
}

/// What a check found so far. A difference counts once it was seen twice, so the counts grow towards the end.
#[Object]
impl ReconcileReport {
    /// The findings one by one, by class, namespace and id. They are kept a week after the end of the check.
    async fn findings(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start: 1 to 100, 20 when neither `first` nor `last` is given.")]
        first: Option<i32>,
        #[graphql(desc = "Only what comes after this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end: 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Only what comes before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only findings of this class.")] class: Option<FindingClass>,
    ) -> Result<Connection<Finding>> {
        let cx = cx(ctx);
        let args = page::args(cx, first, after, last, before)?;
        let list = &findings::FINDINGS;
        let class: Option<reconcile::Class> = class.map(Into::into);
        let page = findings::list(cx.db(), &self.job_id, class, &list.window(&args)?).await?;
        let job_id = self.job_id.clone();
        let count = counter(cx, move |cx| {
            let job_id = job_id.clone();
            async move { Ok(findings::count(cx.db(), &job_id, class).await?) }
        });
        Ok(Connection::new(cx, page, list, count))
    }

    /// Records and rows that were compared.
    async fn checked(&self) -> i64 {
        self.report.checked
    }

    /// Those that could not be: on their way to the index, or written to it a moment ago.
    async fn skipped(&self) -> i64 {
        self.report.skipped
    }

    /// How many are missing in the index.
    async fn missing(&self) -> i64 {
        self.report.missing
    }

    /// How many are not what the rows would send now.
    async fn stale(&self) -> i64 {
        self.report.stale
    }

    /// How many bear this corpus's mark and are not known here.
    async fn orphaned(&self) -> i64 {
        self.report.orphaned
    }

    /// How many were deleted from the index and are there again.
    async fn resurrected(&self) -> i64 {
        self.report.resurrected
    }

    /// How many this corpus did not write.
    async fn foreign(&self) -> i64 {
        self.report.foreign
    }

    /// How many an older exporter left: its metadata keys, but no mark of ours.
    async fn legacy(&self) -> i64 {
        self.report.legacy
    }

    /// Findings whose repair was begun; the job ends once all of them are settled.
    async fn repaired(&self) -> i64 {
        self.report.repaired
    }
}
