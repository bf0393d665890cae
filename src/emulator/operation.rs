//! What a request may ask for, and whose dress the answer has.

/// Which of the two planes a path belongs to: they say no differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Indexes.
    Control,
    /// What is in one.
    Data,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `GET /indexes`
    ListIndexes,
    /// `POST /indexes`
    CreateIndex,
    /// `GET /indexes/{index}`
    DescribeIndex,
    /// `PATCH /indexes/{index}`
    ConfigureIndex,
    /// `DELETE /indexes/{index}`
    DeleteIndex,
    /// `POST /vectors/upsert`
    Upsert,
    /// `POST /vectors/update`
    Update,
    /// `POST /vectors/delete`
    Delete,
    /// `POST /query`
    Query,
    /// `GET /vectors/fetch`
    Fetch,
    /// `POST /vectors/fetch_by_metadata`
    FetchByMetadata,
    /// `GET /vectors/list`
    List,
    /// `POST /describe_index_stats`
    Stats,
    /// `GET /namespaces`
    ListNamespaces,
    /// `POST /namespaces`
    CreateNamespace,
    /// `GET /namespaces/{namespace}`
    DescribeNamespace,
    /// `DELETE /namespaces/{namespace}`
    DeleteNamespace,
    /// A path of the service's control plane that this server has not.
    ControlMissing,
    /// A path of the service's data plane that this server has not.
    DataMissing,
    /// Any other path.
    Unknown,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ListIndexes,
        Self::CreateIndex,
        Self::DescribeIndex,
        Self::ConfigureIndex,
        Self::DeleteIndex,
        Self::Upsert,
        Self::Update,
        Self::Delete,
        Self::Query,
        Self::Fetch,
        Self::FetchByMetadata,
        Self::List,
        Self::Stats,
        Self::ListNamespaces,
        Self::CreateNamespace,
        Self::DescribeNamespace,
        Self::DeleteNamespace,
        Self::ControlMissing,
        Self::DataMissing,
        Self::Unknown,
    ];

    /// The name in fault plans and in the request log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ListIndexes => "list_indexes",
            Self::CreateIndex => "create_index",
            Self::DescribeIndex => "describe_index",
            Self::ConfigureIndex => "configure_index",
            Self::DeleteIndex => "delete_index",
            Self::Upsert => "upsert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::Fetch => "fetch",
            Self::FetchByMetadata => "fetch_by_metadata",
            Self::List => "list",
            Self::Stats => "stats",
            Self::ListNamespaces => "list_namespaces",
            Self::CreateNamespace => "create_namespace",
            Self::DescribeNamespace => "describe_namespace",
            Self::DeleteNamespace => "delete_namespace",
            Self::ControlMissing => "control_missing",
            Self::DataMissing => "data_missing",
            Self::Unknown => "unknown",
        }
    }

    /// The operation of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.name() == name)
    }

    /// Whose dress its refusals have.
    #[must_use]
    pub const fn plane(self) -> Plane {
        match self {
            Self::ListIndexes
            | Self::CreateIndex
            | Self::DescribeIndex
            | Self::ConfigureIndex
            | Self::DeleteIndex
            | Self::ControlMissing
            | Self::Unknown => Plane::Control,
            Self::Upsert
            | Self::Update
            | Self::Delete
            | Self::Query
            | Self::Fetch
            | Self::FetchByMetadata
            | Self::List
            | Self::Stats
            | Self::ListNamespaces
            | Self::CreateNamespace
            | Self::DescribeNamespace
            | Self::DeleteNamespace
            | Self::DataMissing => Plane::Data,
        }
    }
}
