//! The API's description, made from the same routes and types that serve it.

use hyper::Method;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{
    Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema,
};

use super::problem::Problem;
use super::route::{Answer, Input, Route, SchemaOf};

/// The description of `routes`.
pub(crate) fn describe(routes: &[Route]) -> OpenApi {
    let info = InfoBuilder::new()
        .title("Foretaste")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Recommendations, similar items, trends and their reasons."))
        .build();
    let mut paths = Paths::new();
    let mut components = Components::new();
    let mut parts = Vec::new();
    Problem::schemas(&mut parts);
    parts.push((Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema()));
    for route in routes {
        add_parts(route, &mut parts);
        let operation = operation(route);
        let item = PathItem::new(http_method(&route.method), operation);
        match paths.paths.get_mut(route.path) {
            Some(known) => known.merge_operations(item),
            None => {
                paths.paths.insert(route.path.to_owned(), item);
            }
        }
    }
    components.schemas.extend(parts);
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components)).build()
}

fn add_parts(route: &Route, parts: &mut Vec<(String, RefOr<Schema>)>) {
    let mut add = |of: &SchemaOf| {
        (of.parts)(parts);
        parts.push(((of.name)().into_owned(), (of.schema)()));
    };
    if let Input::One(of) | Input::OneOrMany(of) = &route.input {
        add(of);
    }
    if let Answer::Json(of) = &route.answer {
        add(of);
    }
}

fn operation(route: &Route) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.id))
        .summary(Some(route.summary))
        .response("200", success(route))
        .response("default", problem());
    for name in path_params(route.path) {
        let id = ObjectBuilder::new().schema_type(Type::String).max_length(Some(128));
        let param = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(id));
        operation = operation.parameter(param);
    }
    for param in route.params {
        operation = operation.parameter(param.describe());
    }
    if let Some(schema) = input_schema(&route.input) {
        let content = Content::new(Some(schema));
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    operation.build()
}

fn input_schema(input: &Input) -> Option<RefOr<Schema>> {
    match input {
        Input::Nothing => None,
        Input::One(of) => Some(reference(of)),
        Input::OneOrMany(of) => {
            let many = ArrayBuilder::new().items(reference(of));
            Some(OneOfBuilder::new().item(reference(of)).item(many).into())
        }
    }
}

fn success(route: &Route) -> Response {
    let response = ResponseBuilder::new().description(route.summary);
    match &route.answer {
        Answer::Nothing => response.build(),
        Answer::Text(media_type) => {
            let text = ObjectBuilder::new().schema_type(Type::String);
            response.content(*media_type, ContentBuilder::new().schema(Some(text)).build()).build()
        }
        Answer::Json(of) => {
            response.content("application/json", Content::new(Some(reference(of)))).build()
        }
    }
}

fn problem() -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    ResponseBuilder::new()
        .description("What went wrong (RFC 9457)")
        .content("application/problem+json", Content::new(Some(schema)))
        .build()
}

fn reference(of: &SchemaOf) -> RefOr<Schema> {
    Ref::from_schema_name((of.name)()).into()
}

fn path_params(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'))
}

fn http_method(method: &Method) -> HttpMethod {
    match method.as_str() {
        "GET" => HttpMethod::Get,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Post,
    }
}
