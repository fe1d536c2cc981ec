//! Messages as the questions that HTTP asks; the checks are HTTP's.

use foretaste_pipeline::{AttributeIs, FilterExpr, PriceRange};
use foretaste_proto::v1 as api;
use foretaste_proto::v1::filter::Condition;

use crate::http::asked::{self, BatchBody, InScene, RecommendBody};
use crate::http::problem::{FieldError, Problem};
use crate::http::records::{self, ContextRecord, EventRecord};
use crate::prepare::Asked;

/// What a request for a user asks.
///
/// # Errors
/// 400 naming what is outside its limits.
pub(super) fn of_user(request: api::RecommendRequest) -> Result<InScene, Problem> {
    let api::RecommendRequest { user, settings, session, attributes } = request;
    records::id("user", &user)?;
    let body = RecommendBody { session, attributes, ..body(settings)? };
    let (scene, asked) = asked::in_scene(body)?;
    Ok((scene, Asked { user: Some(user), ..asked }))
}

/// What a request for a session asks.
///
/// # Errors
/// As [`of_user`].
pub(super) fn of_session(request: api::RecommendSessionRequest) -> Result<InScene, Problem> {
    let api::RecommendSessionRequest { items, settings, attributes } = request;
    asked::in_scene(RecommendBody { session: items, attributes, ..body(settings)? })
}

/// What a request for several users asks.
///
/// # Errors
/// As [`of_user`].
pub(super) fn of_users(
    request: api::RecommendBatchRequest,
) -> Result<(Vec<String>, InScene), Problem> {
    let RecommendBody { k, scene, reasons, exclude, filter, .. } = body(request.settings)?;
    asked::for_users(BatchBody { users: request.users, k, scene, reasons, exclude, filter })
}

/// What a request for similar items asks.
///
/// # Errors
/// As [`of_user`].
pub(super) fn of_item(request: api::SimilarRequest) -> Result<(String, InScene), Problem> {
    records::id("item", &request.item)?;
    let body = RecommendBody { reasons: false, ..body(request.settings)? };
    Ok((request.item, asked::in_scene(body)?))
}

/// What a request for a list asks.
///
/// # Errors
/// As [`of_user`].
pub(super) fn of_list(request: api::ListRequest) -> Result<Asked, Problem> {
    let api::ListRequest { k, exclude, filter } = request;
    let settings = api::Settings { k, exclude, filter, ..api::Settings::default() };
    Ok(asked::in_scene(body(Some(settings))?)?.1)
}

fn body(settings: Option<api::Settings>) -> Result<RecommendBody, Problem> {
    let api::Settings { k, scene, reasons, exclude, filter } = settings.unwrap_or_default();
    Ok(RecommendBody {
        k: (k > 0).then_some(k as usize),
        scene: non_empty(scene),
        reasons,
        exclude,
        filter: filter.map(expression).transpose()?,
        ..RecommendBody::default()
    })
}

/// proto3 has no absent text; ours is never empty.
fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// A filter; decoding has bounded its depth.
fn expression(filter: api::Filter) -> Result<FilterExpr, Problem> {
    let all = |list: api::filter::List| -> Result<Vec<FilterExpr>, Problem> {
        list.filters.into_iter().map(expression).collect()
    };
    let condition = filter.condition.ok_or_else(|| {
        Problem::invalid("filter: a filter without a condition; set exactly one of its fields")
    })?;
    Ok(match condition {
        Condition::And(list) => FilterExpr::And(all(list)?),
        Condition::Or(list) => FilterExpr::Or(all(list)?),
        Condition::Not(filter) => FilterExpr::Not(Box::new(expression(*filter)?)),
        Condition::Category(name) => FilterExpr::Category(name),
        Condition::Tag(name) => FilterExpr::Tag(name),
        Condition::Attribute(api::filter::Attribute { key, value }) => {
            FilterExpr::Attribute(AttributeIs { key, value })
        }
        Condition::Price(api::filter::Price { min, max }) => {
            FilterExpr::Price(PriceRange { min, max })
        }
        Condition::CreatedAfterMs(ms) => FilterExpr::CreatedAfterMs(ms),
    })
}

/// Events as HTTP takes them.
///
/// # Errors
/// 400 for a position that does not fit.
pub(super) fn events(events: Vec<api::Event>) -> Result<Vec<EventRecord>, Problem> {
    events.into_iter().enumerate().map(event).collect()
}

fn event((index, event): (usize, api::Event)) -> Result<EventRecord, Problem> {
    let api::Event { event_id, user, item, kind, value, time_ms, context } = event;
    let context = context.map(|context| record_of(index, context)).transpose()?;
    let (event_id, time_ms) = (non_empty(event_id), (time_ms != 0).then_some(time_ms));
    Ok(EventRecord { event_id, user, item, kind, value, time_ms, context })
}

fn record_of(index: usize, context: api::event::Context) -> Result<ContextRecord, Problem> {
    let api::event::Context { session, scene, position, request_id } = context;
    let position = u16::try_from(position).map_err(|_| {
        let (field, reason) = ("context.position".to_owned(), "expected at most 65535".to_owned());
        Problem::fields(vec![FieldError { index, field, reason }])
    })?;
    Ok(ContextRecord {
        session: non_empty(session),
        scene: non_empty(scene),
        position: (position > 0).then_some(position),
        request_id: non_empty(request_id),
    })
}
