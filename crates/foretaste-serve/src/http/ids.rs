//! Ids in paths: percent-decoded and checked before any handler sees them.

use axum::extract::{FromRequestParts, Path};
use hyper::http::request::Parts;

use super::problem::Problem;
use super::records;

/// The one id of a path.
pub(crate) struct Id(pub(crate) String);

/// A user and an item, in this order.
pub(crate) struct UserAndItem(pub(crate) String, pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| not_text())?;
        records::id("id", &id)?;
        Ok(Self(id))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for UserAndItem {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((user, item)) = Path::<(String, String)>::from_request_parts(parts, state)
            .await
            .map_err(|_| not_text())?;
        records::id("user", &user)?;
        records::id("item", &item)?;
        Ok(Self(user, item))
    }
}

fn not_text() -> Problem {
    Problem::invalid("the id in the path is not UTF-8 after percent-decoding")
}
