//! Answers as messages: made from the JSON that is kept, so that both protocols say the same.

use std::sync::Arc;

use bytes::Bytes;
use foretaste_core::{Error, Result};
use foretaste_proto::v1 as api;
use tonic::metadata::{MetadataMap, MetadataValue};

use super::status;
use crate::answer::{Because, ChannelShare, Recommended, Slate};
use crate::app::App;
use crate::http::answering::Answer;
use crate::http::batch::Part;
use crate::http::problem::Problem;
use crate::ready::unframed;

const X_CACHE: &str = "x-cache";
/// Longer answers are turned into messages where computing belongs.
const SHORT_BYTES: usize = 32 << 10;

/// The message of an answer, with metadata as HTTP's headers.
///
/// # Errors
/// 503 when too many wait for a worker.
pub(super) async fn slate(
    app: &App,
    answer: Answer,
) -> std::result::Result<tonic::Response<api::Slate>, Problem> {
    let kept = answer.kept();
    let slate = match kept.len() {
        0..SHORT_BYTES => message(&kept)?,
        _ => app.compute(move |_| message(&kept)).await??,
    };
    let mut response = tonic::Response::new(slate);
    let metadata = response.metadata_mut();
    describe(metadata, &answer);
    response.extensions_mut().insert(Arc::clone(&answer.times));
    Ok(response)
}

fn describe(metadata: &mut MetadataMap, answer: &Answer) {
    metadata.insert(X_CACHE, MetadataValue::from_static(answer.source.name()));
    metadata.insert("age", MetadataValue::from(answer.age_seconds()));
}

/// One user's part of a batch.
pub(super) fn part(user: String, part: Part) -> api::recommend_batch_response::Result {
    use api::recommend_batch_response::result::Outcome;
    let outcome = match part.and_then(|kept| Ok(message(&kept)?)) {
        Ok(slate) => Outcome::Slate(slate),
        Err(problem) => {
            let code = status::code(&problem) as i32;
            Outcome::Problem(api::Problem { code, message: problem.detail })
        }
    };
    api::recommend_batch_response::Result { user, outcome: Some(outcome) }
}

fn message(kept: &Bytes) -> Result<api::Slate> {
    let (_, json) = unframed(kept);
    let slate: Slate<'_> = serde_json::from_slice(&json)
        .map_err(|e| Error::internal("an answer that was kept").with_source(e))?;
    Ok(api::Slate {
        bundle: slate.bundle.into(),
        scene: slate.scene.map(String::from),
        items: slate.items.into_iter().map(item).collect(),
        fallback: slate.fallback.map(String::from),
        degraded: slate.degraded.into_iter().map(String::from).collect(),
        n_candidates: slate.n_candidates as u64,
    })
}

fn item(item: Recommended<'_>) -> api::Item {
    let share = |ChannelShare { channel, share }| {
        let channel = String::from(channel);
        api::ChannelShare { channel, share }
    };
    let because = |Because { item_id, title, share }| {
        let (item_id, title) = (item_id.into(), title.into());
        api::Because { item_id, title, share }
    };
    api::Item {
        item_id: item.item_id.into(),
        score: item.score,
        title: item.title.into(),
        categories: item.categories.into_iter().map(String::from).collect(),
        price: item.price,
        channels: item.channels.into_iter().map(share).collect(),
        because: item.because.into_iter().map(because).collect(),
        note: item.note.map(String::from),
    }
}
