//! One route: what it answers to, where it may be served, and how it is described. The router
//! and the API's description are both made from the same list of these; the description by a test,
//! which compares it with the file that is served (see `openapi`).
#![cfg_attr(not(test), allow(dead_code, reason = "only the description reads all of a route"))]

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use hyper::Method;

use super::params::Param;
use crate::app::App;

/// Who may reach a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plane {
    /// Clients of the public listener.
    Public,
    /// Operators: the admin listener, or a loopback one.
    Admin,
    /// Scrapers: as operators, or the public listener where the config says so.
    Metrics,
    /// Everybody on every listener.
    Both,
}

/// A type's place in the API's description.
#[derive(Clone, Copy)]
pub(crate) struct SchemaOf {
    #[cfg(test)]
    pub(crate) name: fn() -> std::borrow::Cow<'static, str>,
    #[cfg(test)]
    pub(crate) schema: fn() -> utoipa::openapi::RefOr<utoipa::openapi::Schema>,
    #[cfg(test)]
    pub(crate) parts: fn(&mut super::openapi::Parts),
}

/// What can be described.
#[cfg(test)]
pub(crate) use utoipa::ToSchema as Described;

/// What can be described.
#[cfg(not(test))]
pub(crate) trait Described {}

#[cfg(not(test))]
impl<T> Described for T {}

impl SchemaOf {
    fn new<T: Described>() -> Self {
        Self {
            #[cfg(test)]
            name: T::name,
            #[cfg(test)]
            schema: T::schema,
            #[cfg(test)]
            parts: T::schemas,
        }
    }
}

/// What comes back when all is well.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Json(SchemaOf),
    Text(&'static str),
    Nothing,
}

/// What goes in.
#[derive(Clone, Copy)]
pub(crate) enum Input {
    Nothing,
    One(SchemaOf),
    OneOrMany(SchemaOf),
}

/// A route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) plane: Plane,
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) params: &'static [Param],
    pub(crate) input: Input,
    pub(crate) answer: Answer,
    pub(crate) service: MethodRouter<Arc<App>>,
}

impl Route {
    /// A public route without parameters or answer; `id` names the operation.
    pub(crate) fn new<H, T>(
        method: Method,
        path: &'static str,
        (id, summary): (&'static str, &'static str),
        handler: H,
    ) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that axum routes");
        Self {
            method,
            path,
            plane: Plane::Public,
            id,
            summary,
            params: &[],
            input: Input::Nothing,
            answer: Answer::Nothing,
            service: on(filter, handler),
        }
    }

    pub(crate) fn on(mut self, plane: Plane) -> Self {
        self.plane = plane;
        self
    }

    pub(crate) fn params(mut self, params: &'static [Param]) -> Self {
        self.params = params;
        self
    }

    pub(crate) fn takes<T: Described>(mut self) -> Self {
        self.input = Input::One(SchemaOf::new::<T>());
        self
    }

    pub(crate) fn takes_one_or_many<T: Described>(mut self) -> Self {
        self.input = Input::OneOrMany(SchemaOf::new::<T>());
        self
    }

    pub(crate) fn gives<T: Described>(mut self) -> Self {
        self.answer = Answer::Json(SchemaOf::new::<T>());
        self
    }

    pub(crate) fn gives_text(mut self, media_type: &'static str) -> Self {
        self.answer = Answer::Text(media_type);
        self
    }
}
