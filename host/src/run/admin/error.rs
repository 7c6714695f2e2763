//! Why the admin listener refuses a request, and the one function that says what the client is told.

use hyper::StatusCode;

use crate::{
    ingest::{origin::ForeignPage, problem::Problem},
    reload::CommandError,
};

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdminError {
    /// There is no such path.
    #[error(
        "this is the admin listener; it has GET /live, /ready, /metrics, /plugins, /routes and /config, and \
         POST /drain, /plugins/{{name}}/reload and /plugins/{{name}}/rollback"
    )]
    NotFound,
    /// The path takes only this method.
    #[error("this path takes {0} only")]
    MethodNotAllowed(&'static str),
    /// The query has something else than it may have.
    #[error("the query of /routes may have tenants=NUMBER, from 0 to 1000: how many of the hottest tenants are shown")]
    BadQuery,
    /// The token is missing or wrong.
    #[error("the bearer token is missing or wrong; send Authorization: Bearer <the text of listen.admin_token_file>")]
    Unauthorized,
    /// The path needs a token, and none is configured.
    #[error("off loopback this needs a token; set listen.admin_token_file, or ask on loopback")]
    NoToken,
    /// A web page made a browser send the request.
    #[error(transparent)]
    ForeignPage(#[from] ForeignPage),
    /// As many orders as may wait already do.
    #[error(
        "as many as may already wait for a drain or a reload; nothing was done; ask again when these have been answered"
    )]
    TooManyOrders,
    /// An order about a plugin was not carried out.
    #[error(transparent)]
    Command(#[from] CommandError),
}

impl AdminError {
    /// What the client is told.
    pub(super) fn problem(&self) -> Problem {
        let (status, code) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed(allowed) => return Problem::method(allowed),
            Self::BadQuery => (StatusCode::BAD_REQUEST, "bad_query"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::NoToken => (StatusCode::FORBIDDEN, "forbidden"),
            Self::ForeignPage(foreign) => return foreign.problem(),
            Self::TooManyOrders | Self::Command(CommandError::Late(_)) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Command(CommandError::Unknown(_)) => (StatusCode::NOT_FOUND, "unknown_plugin"),
            Self::Command(CommandError::NothingBefore(_)) => (StatusCode::CONFLICT, "nothing_before"),
            Self::Command(CommandError::Failed { .. }) => (StatusCode::CONFLICT, "not_loaded"),
        };
        Problem::new(status, code, self.to_string())
    }
}
