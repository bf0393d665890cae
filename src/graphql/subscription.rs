//! The root of subscriptions.

pub use async_graphql::EmptySubscription as Subscription;
