//! The list of routes. Adding a handler to it serves it and describes it; there is no other way to do either.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::routing::{MethodFilter, MethodRouter, on};
use http::{Method, StatusCode};
use outrigger_api::{ApiResult, Code};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;

use super::answer::Answer;
use super::input::{Input, Payload};
use super::who::{self, Who};
use super::{App, method_not_allowed, not_found, serve};

/// All routes, with the schemas of the types that they name.
pub struct Api {
    pub routes: Vec<Route>,
    pub generator: SchemaGenerator,
}

/// One route: what the document says of it, and what serves it.
pub struct Route {
    pub operation: Operation,
    /// Made when all is known of the operation.
    methods: Box<dyn FnOnce(Manner) -> MethodRouter<Arc<App>> + Send>,
}

/// Whether a request continues when its client disconnects before the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It is done to its end, on a task of its own: a change that is cut off in the middle is neither made nor undone, and
    /// the audit log says nothing of it.
    Finished,
    /// Cancelled when the client disconnects. For reads and calls: calls are recorded in any case, and are too short to
    /// pay for a task.
    Dropped,
}

/// How the requests of a route are served.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    pub route: &'static str,
    pub parting: Parting,
    /// Whether it only reads. A key has few such requests at a time.
    pub reads: bool,
    /// The right that is checked before the body is read.
    pub right: Option<&'static str>,
    /// The path parameter with the name over which the right is checked; without one, the right over any name is
    /// enough.
    pub over: Option<&'static str>,
}

/// The description of a route.
#[derive(Debug)]
pub struct Operation {
    pub method: Method,
    pub path: &'static str,
    /// Other addresses of the same.
    pub aliases: Vec<&'static str>,
    pub id: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub tag: &'static str,
    pub secured: bool,
    /// The right that it takes; none where any key will do, and where none is needed.
    pub right: Option<&'static str>,
    /// Schemas of objects whose members are the parameters.
    pub path_schema: Schema,
    pub query_schema: Schema,
    pub body: Option<Schema>,
    /// The media types that the body comes in.
    pub body_media: &'static [&'static str],
    /// The body is handed on while it arrives.
    pub streamed: bool,
    pub example: Option<serde_json::Value>,
    pub success: Success,
    /// Its error codes, in addition to those of any route.
    pub codes: Vec<Code>,
    pub if_match: bool,
    pub resumes: bool,
    pub parting: Parting,
    pub reads: bool,
}

/// The response on success.
#[derive(Debug)]
pub struct Success {
    pub status: StatusCode,
    pub content: Option<(&'static str, Schema)>,
    pub tagged: bool,
    pub located: bool,
    pub otherwise: Option<StatusCode>,
}

impl Default for Api {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self { routes: Vec::new(), generator: settings.into_generator() }
    }
}

/// The methods that routes are for. `GET` answers to `HEAD` too.
macro_rules! method {
    ($name:ident $method:ident) => {
        pub fn $name<W, P, Q, B, R, F, Fut>(
            &mut self,
            path: &'static str,
            id: &'static str,
            handler: F,
        ) -> &mut Operation
        where
            W: Who,
            P: DeserializeOwned + JsonSchema + Send + 'static,
            Q: DeserializeOwned + JsonSchema + Send + 'static,
            B: Payload,
            R: Answer,
            F: Fn(W, Input<P, Q, B>) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = ApiResult<R>> + Send + 'static,
        {
            self.add(Method::$method, MethodFilter::$method, path, id, handler)
        }
    };
}

impl Api {
    method!(get GET);
    method!(post POST);
    method!(put PUT);
    method!(delete DELETE);
    method!(patch PATCH);

    fn add<W, P, Q, B, R, F, Fut>(
        &mut self,
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        id: &'static str,
        handler: F,
    ) -> &mut Operation
    where
        W: Who,
        P: DeserializeOwned + JsonSchema + Send + 'static,
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        B: Payload,
        R: Answer,
        F: Fn(W, Input<P, Q, B>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ApiResult<R>> + Send + 'static,
    {
        let generator = &mut self.generator;
        let success = Success {
            status: R::STATUS,
            content: R::MEDIA.zip(R::schema(generator)),
            tagged: R::TAGGED,
            located: R::LOCATED,
            otherwise: R::OTHERWISE,
        };
        let reads = method == Method::GET;
        let parting = if reads { Parting::Dropped } else { Parting::Finished };
        let operation = Operation {
            method,
            path,
            aliases: Vec::new(),
            id,
            summary: "",
            description: "",
            tag: "",
            secured: W::SECURED,
            right: None,
            path_schema: P::json_schema(generator),
            query_schema: Q::json_schema(generator),
            body: B::schema(generator),
            body_media: B::MEDIA,
            streamed: B::STREAMED,
            example: None,
            success,
            codes: Vec::new(),
            if_match: false,
            resumes: false,
            parting,
            reads,
        };
        let methods = move |manner| {
            on(filter, move |State(app): State<Arc<App>>, request: Request| {
                serve::<W, P, Q, B, R, F, Fut>(app, handler.clone(), manner, request)
            })
        };
        let place = self.routes.len();
        self.routes.push(Route { operation, methods: Box::new(methods) });
        &mut self.routes[place].operation
    }

    /// The router.
    pub fn router(self, app: Arc<App>) -> Router {
        let mut router = Router::new();
        for Route { operation, methods } in self.routes {
            let methods = methods(operation.manner());
            for alias in operation.aliases {
                router = router.route(alias, methods.clone());
            }
            router = router.route(operation.path, methods);
        }
        router.fallback(not_found).method_not_allowed_fallback(method_not_allowed).with_state(app)
    }
}

impl Operation {
    /// How its requests are served.
    fn manner(&self) -> Manner {
        let Self { path, parting, reads, right, .. } = *self;
        let over = right.and_then(|right| who::named(right, path));
        Manner { route: path, parting, reads, right, over }
    }

    /// Where it is found.
    pub fn addresses(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.path).chain(self.aliases.iter().copied())
    }

    /// One line.
    pub fn summary(&mut self, text: &'static str) -> &mut Self {
        self.summary = text;
        self
    }

    /// A further description, in Markdown.
    pub fn describe(&mut self, text: &'static str) -> &mut Self {
        self.description = text;
        self
    }

    pub fn tag(&mut self, tag: &'static str) -> &mut Self {
        self.tag = tag;
        self
    }

    /// The right that it takes. The platform is what holds callers to it.
    pub fn right(&mut self, right: &'static str) -> &mut Self {
        self.right = Some(right);
        self
    }

    /// Another address of the same.
    pub fn also(&mut self, path: &'static str) -> &mut Self {
        self.aliases.push(path);
        self
    }

    /// An example of the body.
    pub fn example(&mut self, example: serde_json::Value) -> &mut Self {
        self.example = Some(example);
        self
    }

    /// Adds error codes, in addition to those of any route.
    pub fn fails(&mut self, codes: &[Code]) -> &mut Self {
        self.codes.extend_from_slice(codes);
        self
    }

    /// It goes on behind the event that `Last-Event-ID` names.
    pub fn resumes(&mut self) -> &mut Self {
        self.resumes = true;
        self
    }

    /// It is a call, and is dropped with its client.
    pub fn calls(&mut self) -> &mut Self {
        self.parting = Parting::Dropped;
        self
    }

    /// It only reads, although it has a body.
    pub fn reads(&mut self) -> &mut Self {
        self.reads = true;
        self
    }

    /// It can be made to depend on an ETag.
    pub fn takes_if_match(&mut self) -> &mut Self {
        self.if_match = true;
        self
    }
}
