//! The public contract: OpenAPI 3.1, from the table of routes.

use std::{collections::BTreeMap, time::Duration};

use axum::http::Method;
use contracts::{
    api::{Problem, gateway::Role, orders::IDEMPOTENCY_KEY_BYTES_MAX},
    services::ALL,
};
use service::{metrics::FIGURES_TYPE, problem::PROBLEM_TYPE};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, Paths,
    Ref, RefOr, Required, Response, ResponseBuilder, Schema,
    path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::{KnownFormat, Object, ObjectBuilder, SchemaFormat, Type},
    security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
};

use crate::routes::{Access, Answer, Route, Shape};

/// The type of server-sent events.
const EVENTS_TYPE: &str = "text/event-stream";
/// What the document calls the way in which a key is shown.
const SCHEME: &str = "key";
/// What it calls the way in which a browser shows its session.
const SESSION_SCHEME: &str = "session";

/// Returns the document that describes these routes. `retention` is how long responses to requests with a key are kept.
pub(crate) fn document(routes: &[Route], retention: Duration) -> OpenApi {
    let mut schemas: BTreeMap<String, RefOr<Schema>> = BTreeMap::new();
    let shapes = routes.iter().flat_map(|route| {
        let answers = match route.answer {
            Answer::Json(shape) => vec![shape],
            Answer::Events(shapes) => shapes.to_vec(),
            Answer::Nothing | Answer::Text | Answer::Page(_) | Answer::Figures | Answer::Object => {
                Vec::new()
            }
        };
        route.body.into_iter().chain(answers)
    });
    for shape in shapes.chain([Shape::of::<Problem>()]) {
        let mut parts = vec![((shape.name)().into_owned(), (shape.schema)())];
        (shape.parts)(&mut parts);
        schemas.extend(parts);
    }
    // Parameters may be of types that no body has.
    let mut parts = Vec::new();
    for shape in [
        Shape::of::<contracts::api::orders::OrderStatus>(),
        Shape::of::<contracts::Ingredient>(),
        Shape::of::<contracts::OrderId>(),
        Shape::of::<contracts::Quantity>(),
    ] {
        parts.push(((shape.name)().into_owned(), (shape.schema)()));
        (shape.parts)(&mut parts);
    }
    schemas.extend(parts);
    let mut paths = Paths::new();
    for route in routes {
        paths.add_path_operation(
            route.path,
            vec![method_of(&route.method)],
            operation(route, retention),
        );
    }
    let key = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("cfk_<id>_<secret>")
        .description(Some("A key of this environment; `chefcito keys` makes them."))
        .build();
    let session = ApiKey::Cookie(ApiKeyValue::with_description(
        "chefcito-7373",
        "A browser's session; `POST /v1/session` sets the cookie. Its name ends with the port of the gateway's address, and begins \
         with `__Host-` under https. `Origin` and `Host` must be those of the address.",
    ));
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Chefcito")
                .version("1")
                .description(Some(
                    "A restaurant: guests order, and watch their orders come to the table.",
                ))
                .build(),
        )
        .paths(paths)
        .components(Some(
            ComponentsBuilder::new()
                .schemas_from_iter(schemas)
                .security_scheme(SCHEME, SecurityScheme::Http(key))
                .security_scheme(SESSION_SCHEME, SecurityScheme::ApiKey(session))
                .build(),
        ))
        .build()
}

fn operation(route: &Route, retention: Duration) -> OperationBuilder {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(route.name))
        .summary(Some(route.summary))
        .tag(tag_of(route.path));
    for name in variables(route.path) {
        let schema = variable(route.path, name);
        operation = operation.parameter(parameter(name, ParameterIn::Path, Required::True, schema));
    }
    for parameter in route.query.map(|query| query()).unwrap_or_default() {
        operation = operation.parameter(parameter);
    }
    if route.idempotent {
        operation = operation
            .parameter(idempotency_key(retention))
            .response("422", problem("The request asks for what can't be, or its `Idempotency-Key` belongs to another request."));
    }
    if let Some(body) = route.body {
        let content = ContentBuilder::new().schema(Some(reference(body))).build();
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(if route.body_is_optional { Required::False } else { Required::True }))
            .build();
        operation = operation.request_body(Some(body));
    }
    operation = operation.response(route.status.as_str(), good(route));
    if let Answer::Events(_) = route.answer {
        let switched = "Switching Protocols: the request asked for a WebSocket.";
        operation = operation.response("101", ResponseBuilder::new().description(switched).build());
    }
    if let Access::Needs(role) = route.access {
        let scheme = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
        operation = operation.security(scheme(SCHEME));
        let (shown, may_not) = if route.is_for_keys {
            ("a key", "The key may not do that, or what was shown is a session.")
        } else {
            operation = operation.security(scheme(SESSION_SCHEME));
            (
                "a key or a session",
                "The key or the session may not do that, or a session's request is not of the page's own origin.",
            )
        };
        operation = operation
            .description(Some(format!("Needs {shown} of {}.", at_least(role))))
            .response("401", problem("No key or session that is known and not revoked was shown."))
            .response("403", problem(may_not))
            .response("429", problem("Too many requests; `Retry-After` says when to come back."));
    }
    operation.response("default", problem("Anything else, as RFC 9457 says it."))
}

fn at_least(role: Role) -> &'static str {
    match role {
        Role::Viewer => "any role",
        Role::Manager => "a manager or an admin",
        Role::Admin => "an admin",
    }
}

fn good(route: &Route) -> Response {
    let description = route.status.canonical_reason().unwrap_or("Done");
    let response = ResponseBuilder::new().description(description);
    let with = |kind: &str, schema: RefOr<Schema>| {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        ResponseBuilder::new().description(description).content(kind, content).build()
    };
    match route.answer {
        Answer::Nothing => response.build(),
        Answer::Text => with("text/plain", text().into()),
        Answer::Page(file) => with(file.media_type(), text().into()),
        Answer::Figures => with(FIGURES_TYPE, text().into()),
        Answer::Object => with("application/json", Object::with_type(Type::Object).into()),
        Answer::Json(shape) => with("application/json", reference(shape)),
        Answer::Events(shapes) => {
            let names = shapes.map(|shape| format!("`{}`", (shape.name)()));
            let data = ObjectBuilder::new().schema_type(Type::String).description(Some(format!(
                "Server-sent events: first a `snapshot`, whose data are a {} in JSON, then `change`s, each a {} to it. Each has an \
                 `id`; with that as `Last-Event-ID`, a later request goes on from there. A request that asks for a WebSocket is answered \
                 101; each message is the text of one event or of several, separated by empty lines.",
                names[0], names[1]
            )));
            with(EVENTS_TYPE, data.build().into())
        }
    }
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(reference(Shape::of::<Problem>()))).build();
    ResponseBuilder::new().description(description).content(PROBLEM_TYPE, content).build()
}

fn reference(shape: Shape) -> RefOr<Schema> {
    Ref::from_schema_name((shape.name)()).into()
}

fn text() -> Object {
    ObjectBuilder::new().schema_type(Type::String).build()
}

fn parameter(name: &str, place: ParameterIn, required: Required, schema: Object) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(schema))
        .build()
}

fn idempotency_key(retention: Duration) -> Parameter {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(IDEMPOTENCY_KEY_BYTES_MAX))
        .pattern(Some("^[!-~]+$"));
    let description = format!(
        "Makes the request safe to send again. If the request was accepted under this key before, by the same API key and \
         with the same query and body, nothing is changed, and the response has the status and the body of the first one, \
         and the header `Idempotency-Replayed: true`. With another query or body it is refused (422, \
         `/problems/key-reused`). The response is kept for {}. A request that was refused leaves its key free.",
        humantime::format_duration(retention)
    );
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(text.build()))
        .build()
}

/// Returns what a variable part of a path is. Orders and events have UUIDs; keys have ids of their own.
fn variable(path: &str, name: &str) -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String);
    match name {
        "id" if path.starts_with("/v1/keys/") => text.pattern(Some("^[a-z0-9]{1,32}$")),
        "id" => text.format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid))),
        _ => text.enum_values(Some(ALL)),
    }
    .build()
}

/// Returns the names of the variable parts of a path.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// Returns what a path is about: `orders` of `/v1/orders/{id}`.
fn tag_of(path: &str) -> &str {
    path.strip_prefix("/v1/").and_then(|path| path.split('/').next()).unwrap_or("environment")
}

fn method_of(method: &Method) -> HttpMethod {
    match *method {
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}
