//! What a route doesn't take, of methods and headers, and how that is said.

use super::{
    api::{once, tags},
    problem::{Problem, Refusal},
};
use axum::{
    extract::Request,
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// What is asked by another method of a path that takes GET and not HEAD.
pub(super) async fn get_alone() -> impl IntoResponse {
    let why = "this path takes GET alone: not even the head of its answer can be had without the work for the whole";
    ([(header::ALLOW, "GET")], Problem::MethodNotAllowed.because(why))
}

/// Whoever says If-Match takes it that what is changed is what they saw: to pass over it would be to say yes.
pub(super) async fn without_versions(request: Request, next: Next) -> Response {
    if tags::names_a_version(request.headers()) {
        return Problem::NoVersion.into_response();
    }
    next.run(request).await
}

/// Whoever says Idempotency-Key sends the request again where its answer gets lost, and takes it that it is done once.
pub(super) async fn without_keys(request: Request, next: Next) -> Response {
    if request.headers().contains_key(once::NAME) {
        return Refusal::from(Problem::KeyNotTaken).about(once::NAME, None).into_response();
    }
    next.run(request).await
}

/// Which methods a path takes is said to whoever asked it with another, and not to whoever was refused.
pub(super) async fn without_methods(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(header::ALLOW);
    }
    response
}
