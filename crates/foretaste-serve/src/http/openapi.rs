//! The API's description, made from the same routes and types that serve it, and compared with
//! `openapi.json`, which is what the server sends: whoever builds it does not pay for making it.

use hyper::Method;
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{
    Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Required, Response,
    ResponseBuilder, Schema,
};

use super::params::{Param, Shape};
use super::problem::Problem;
use super::route::{Answer, Input, Route, SchemaOf};
use super::table;

/// Named parts of the description.
pub(crate) type Parts = Vec<(String, RefOr<Schema>)>;

#[test]
fn the_description_that_is_sent_is_that_of_the_routes() {
    let made = describe(&table::routes()).to_pretty_json().unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    if std::env::var_os("FORETASTE_WRITE_OPENAPI").is_some() {
        fs_err::write(path, &made).unwrap();
    }
    assert!(
        made == fs_err::read_to_string(path).unwrap(),
        "openapi.json is not what routes and types say; write it anew: \
         FORETASTE_WRITE_OPENAPI=1 cargo test -p foretaste-serve --lib openapi"
    );
}

/// The description of `routes`.
fn describe(routes: &[Route]) -> OpenApi {
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

fn add_parts(route: &Route, parts: &mut Parts) {
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
        operation = operation.parameter(parameter(param));
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

fn parameter(param: &Param) -> Parameter {
    ParameterBuilder::new()
        .name(param.name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(param.about))
        .schema(Some(shape(param.shape)))
        .build()
}

fn shape(shape: Shape) -> RefOr<Schema> {
    let object = ObjectBuilder::new();
    let text = |most: usize| ObjectBuilder::new().schema_type(Type::String).max_length(Some(most));
    match shape {
        Shape::Count { most } => {
            object.schema_type(Type::Integer).minimum(Some(1.0)).maximum(Some(most as f64)).into()
        }
        Shape::Flag => object.schema_type(Type::Boolean).into(),
        Shape::Text { most_bytes } => text(most_bytes).into(),
        Shape::Word(words) => {
            let words = words.iter().copied();
            object.schema_type(Type::String).enum_values(Some(words)).into()
        }
        Shape::Repeated { most, most_bytes } => {
            ArrayBuilder::new().items(text(most_bytes)).max_items(Some(most)).into()
        }
    }
}
