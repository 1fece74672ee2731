//! What a program may register as the handler of a kind: a type of its own, or a function.
//!
//! A function takes the context by value, which is cheap to clone: so its future borrows nothing, and
//! a closure that clones what it needs into an `async move` block is a handler.

use super::{Context, Handler, HandlerError, TypedHandler, handler::Typed};
use serde::{Serialize, de::DeserializeOwned};
use std::{future::Future, marker::PhantomData, sync::Arc};

/// What can become a [`Handler`]: a [`TypedHandler`], a [`Handler`], and any function or closure
/// `Fn(Payload, Context) -> impl Future<Output = Result<R, HandlerError>>`.
///
/// ```
/// use legwork::{Context, HandlerError, testing};
///
/// async fn double(number: u32, _context: Context) -> Result<u32, HandlerError> {
///     Ok(number * 2)
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// testing::attempt(double, &21).run().await.assert_result(&42);
///
/// let factor = 3;
/// let times = move |number: u32, _context: Context| async move { Ok::<_, HandlerError>(number * factor) };
/// testing::attempt(times, &14).run().await.assert_result(&42);
/// # }
/// ```
///
/// `Form` tells the three apart and is never written.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a handler",
    note = "a handler is a type with `TypedHandler`, or a function `async fn(payload: P, context: \
            legwork::Context) -> Result<R, legwork::HandlerError>` with `P: Deserialize` and `R: Serialize`"
)]
pub trait IntoHandler<Form> {
    /// Makes it one.
    fn into_handler(self) -> Arc<dyn Handler>;
}

/// The form of a [`TypedHandler`].
#[derive(Debug)]
pub enum OfPayload {}

/// The form of a [`Handler`].
#[derive(Debug)]
pub enum OfAttempt {}

/// The form of a function.
#[derive(Debug)]
pub struct OfFunction<P, R>(PhantomData<fn(P) -> R>);

impl<T: TypedHandler> IntoHandler<OfPayload> for T {
    fn into_handler(self) -> Arc<dyn Handler> {
        Arc::new(Typed(self))
    }
}

impl<T: Handler> IntoHandler<OfAttempt> for T {
    fn into_handler(self) -> Arc<dyn Handler> {
        Arc::new(self)
    }
}

impl<F, P, R, Work> IntoHandler<OfFunction<P, R>> for F
where
    F: Fn(P, Context) -> Work + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + Send + 'static,
    Work: Future<Output = Result<R, HandlerError>> + Send,
{
    fn into_handler(self) -> Arc<dyn Handler> {
        Arc::new(Typed(Function(self, PhantomData)))
    }
}

/// A function, with what its payload decodes to.
struct Function<F, P>(F, PhantomData<fn(P)>);

impl<F, P, R, Work> TypedHandler for Function<F, P>
where
    F: Fn(P, Context) -> Work + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Serialize + Send,
    Work: Future<Output = Result<R, HandlerError>> + Send,
{
    type Payload = P;
    type Result = R;

    async fn handle(&self, payload: P, context: &Context) -> Result<R, HandlerError> {
        (self.0)(payload, context.clone()).await
    }
}
