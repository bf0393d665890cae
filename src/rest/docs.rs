//! `/openapi.json`, and the page that shows it: every asset is part of the program.

use std::sync::Arc;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::Html;
use axum::response::Redirect;
use axum::routing::get;
use utoipa_swagger_ui::Config;

use crate::app::App;
use crate::error::Error;
use crate::rest::error::Failure;
use crate::rest::extract;
use crate::rest::extract::Outcome;
use crate::rest::extract::frame;
use crate::rest::openapi;

const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="UTF-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>AskTemoc Backend</title>
    <link rel="stylesheet" type="text/css" href="/docs/swagger-ui.css">
    <link rel="stylesheet" type="text/css" href="/docs/index.css">
    <link rel="icon" type="image/png" href="/docs/favicon-32x32.png" sizes="32x32">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="/docs/swagger-ui-bundle.js" charset="UTF-8"></script>
    <script src="/docs/swagger-ui-standalone-preset.js" charset="UTF-8"></script>
    <script src="/docs/swagger-initializer.js" charset="UTF-8"></script>
  </body>
</html>
"#;

/// The page runs and shows what this server gives it, and styles that its own scripts set.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document, made once.
static DOCUMENT: LazyLock<Result<String, Error>> =
    LazyLock::new(|| openapi::document().to_json().map_err(Error::internal));

/// Without the validator's badge, which would ask a server elsewhere.
static CONFIG: LazyLock<Arc<Config<'static>>> =
    LazyLock::new(|| Arc::new(Config::from("/openapi.json").deep_linking(true).validator_url("none")));

/// The paths of this module: pages and files, no operations of the API.
pub fn router() -> Router<App> {
    let document = |State(app): State<App>, request: Request| {
        frame(app, None, request, async |_| {
            let document = DOCUMENT.as_ref().map_err(Clone::clone)?;
            Ok(extract::raw(StatusCode::OK, "application/json", document.as_str()))
        })
    };
    let page = async || ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE));
    let asset = |State(app): State<App>, Path(name): Path<String>, request: Request| {
        frame(app, None, request, async move |_| file(&name))
    };
    let redoc = async || Redirect::temporary("/docs");
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs", get(page))
        .route("/docs/", get(page))
        .route("/docs/{file}", get(asset))
        .route("/redoc", get(redoc))
        .route("/redoc/", get(redoc))
}

fn file(name: &str) -> Outcome {
    let name = if name == "oauth2-redirect" { "oauth2-redirect.html" } else { name };
    let served = utoipa_swagger_ui::serve(name, CONFIG.clone());
    let file = served.map_err(|error| Error::internal(anyhow::anyhow!("{error}")))?.ok_or_else(Failure::no_route)?;
    let content_type = HeaderValue::try_from(file.content_type).map_err(Error::internal)?;
    let mut response = axum::response::Response::new(axum::body::Body::from(file.bytes.into_owned()));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    Ok(response)
}
