//! The sync engine: claim, plan, push, record, report.
