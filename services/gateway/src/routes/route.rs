//! What is known of one thing that may be asked.

use std::borrow::Cow;

use axum::http::{Method, StatusCode};
use contracts::api::gateway::Role;
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        path::{Parameter, ParameterIn},
    },
};

use crate::page::File;

/// One thing that may be asked.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Its name in the OpenAPI document.
    pub(crate) name: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) access: Access,
    pub(crate) target: Target,
    /// Whether it changes something, and so is logged with who asked.
    pub(crate) changes: bool,
    /// Whether it makes a way in, and so is not for sessions of browsers.
    pub(crate) is_for_keys: bool,
    /// Whether it takes an `Idempotency-Key`.
    pub(crate) idempotent: bool,
    pub(crate) query: Option<fn() -> Vec<Parameter>>,
    pub(crate) body: Option<Shape>,
    /// Whether a request without a body means something: all is left as it is by default.
    pub(crate) body_is_optional: bool,
    pub(crate) status: StatusCode,
    pub(crate) answer: Answer,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Anyone,
    Needs(Role),
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A service, under the same path.
    Service(&'static str),
    /// The gateway itself.
    Own(Own),
}

/// What the gateway answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Greeting,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Proof,
    Story,
    Status,
    Live,
    Page(File),
    MakeSignInLink,
    OpenSession,
    GetSession,
    CloseSession,
    ListKeys,
    AddKey,
    RevokeKey,
    Audit,
    AuditLedger,
    ListDeadLetters,
    ReplayDeadLetter,
    DropDeadLetter,
}

/// What a good answer holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Nothing,
    Text,
    /// A file of the page.
    Page(File),
    Figures,
    Json(Shape),
    Object,
    /// Server-sent events with these data.
    Events([Shape; 2]),
}

/// A type of the API, as the OpenAPI document describes it.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) name: fn() -> Cow<'static, str>,
    pub(crate) schema: fn() -> RefOr<Schema>,
    pub(crate) parts: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&(self.name)())
    }
}

impl Shape {
    pub(crate) fn of<T: ToSchema>() -> Self {
        Self {
            name: <T as ToSchema>::name,
            schema: <T as PartialSchema>::schema,
            parts: <T as ToSchema>::schemas,
        }
    }
}

impl Route {
    pub(super) fn new(
        method: Method,
        path: &'static str,
        name: &'static str,
        access: Access,
        target: Target,
        summary: &'static str,
    ) -> Self {
        Self {
            changes: method != Method::GET,
            is_for_keys: false,
            method,
            path,
            name,
            summary,
            access,
            target,
            idempotent: false,
            query: None,
            body: None,
            body_is_optional: false,
            status: StatusCode::OK,
            answer: Answer::Nothing,
        }
    }

    pub(super) fn query<T: IntoParams>(mut self) -> Self {
        self.query = Some(|| T::into_params(|| Some(ParameterIn::Query)));
        self
    }

    pub(super) fn takes<T: ToSchema>(mut self) -> Self {
        self.body = Some(Shape::of::<T>());
        self
    }

    pub(super) fn may_take<T: ToSchema>(mut self) -> Self {
        self.body_is_optional = true;
        self.takes::<T>()
    }

    pub(super) fn answers<T: ToSchema>(self) -> Self {
        self.says(Answer::Json(Shape::of::<T>()))
    }

    pub(super) fn says(mut self, answer: Answer) -> Self {
        self.answer = answer;
        self
    }

    pub(super) fn with(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn only_asks(mut self) -> Self {
        self.changes = false;
        self
    }

    pub(super) fn for_keys(mut self) -> Self {
        self.is_for_keys = true;
        self
    }

    pub(super) fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}
