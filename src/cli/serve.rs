//! `corpusd serve`: listen, say where, and serve until a signal.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::app::App;
use crate::cli::Failure;
use crate::cli::say;
use crate::clock::Clock;
use crate::config::Anonymous;
use crate::config::Config;
use crate::config::Trust;
use crate::graphql::manifest;
use crate::server;
use crate::server::Ended;

/// Serves until the process is asked to stop.
pub async fn run(config: Config) -> Result<(), Failure> {
    let mut stop = signals()?;
    // The address first: a second server on it must not touch the database.
    let listener = listen(&config).await?;
    let clock = Clock::system();
    let app = tokio::select! {
        app = App::open(config, &clock) => app?,
        // Each step of a migration is a transaction: it is safe to go away in the middle.
        _ = stop.recv() => return Ok(()),
    };
    check_entrance(&app).await?;
    start_sync(&app).await?;
    announce_and_serve(app, listener, stop).await
}

/// Refuses to listen where others are, with nothing that keeps them out.
pub async fn check_entrance(app: &App) -> Result<(), Failure> {
    let (cx, server) = (app.cx(), &app.cx().config().server);
    let refusal = match cx.may_listen().await {
        Ok(true) => {
            if server.anonymous == Anonymous::Yes && !server.is_loopback() {
                tracing::warn!(host = %server.host, "whoever reaches this address may read and change everything");
            }
            return Ok(());
        }
        Ok(false) => Failure::Failed(format!(
            "{} is no loopback address, and the database has no valid API key: make one with \
             `corpusd keys create --name NAME --scope admin`, or let everybody do everything with `--allow-anonymous`",
            server.host
        )),
        Err(error) => error.into(),
    };
    app.close().await;
    Err(refusal)
}

/// Reads the manifest of trusted documents, and refuses one that does not fit the schema.
pub async fn trust(config: &mut Config) -> Result<(), Failure> {
    if config.persisted.trust == Trust::Off {
        return Ok(());
    }
    let name = "CORPUSD_TRUSTED_MANIFEST";
    let Some(path) = &config.persisted.manifest else {
        let mode = config.persisted.trust.name();
        return Err(Failure::Usage(format!("{name}: must be set, because CORPUSD_TRUSTED_DOCUMENTS is \"{mode}\"")));
    };
    let wrong = |why: String| Failure::Failed(format!("{name}: {}: {why}", path.display()));
    // A pipe might never end.
    let file = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !file.is_file() {
        return Err(wrong("is no file".to_owned()));
    }
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let documents = manifest::read(&text).map_err(wrong)?;
    manifest::check(&documents, config).await.map_err(wrong)?;
    config.persisted.documents = Arc::new(documents);
    Ok(())
}

/// Starts the engine; on SQLite only one server may have it.
pub async fn start_sync(app: &App) -> Result<(), Failure> {
    if let Err(error) = app.start_sync().await {
        app.close().await;
        return Err(Failure::Failed(error.to_string()));
    }
    Ok(())
}

/// The listener of the configured address.
pub async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let address = SocketAddr::new(config.server.host, config.server.port);
    TcpListener::bind(address).await.map_err(|error| Failure::Failed(format!("cannot listen on {address}: {error}")))
}

/// Prints the one line that scripts wait for, and serves.
pub async fn announce_and_serve(app: App, listener: TcpListener, stop: mpsc::Receiver<()>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot serve: {error}"));
    say(&format!("listening on http://{}", listener.local_addr().map_err(failed)?));
    match server::serve(app, listener, stop).await {
        Ended::Drained => Ok(()),
        Ended::AtOnce => Err(Failure::Failed("stopped at once".to_owned())),
    }
}

/// A message for each SIGTERM and SIGINT.
#[expect(clippy::disallowed_methods, reason = "waits for signals until the process ends; nothing of it can be lost")]
pub fn signals() -> Result<mpsc::Receiver<()>, Failure> {
    let (sender, receiver) = mpsc::channel(4);
    #[cfg(unix)]
    {
        use tokio::signal::unix::SignalKind;
        use tokio::signal::unix::signal;
        for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
            let mut signals =
                signal(kind).map_err(|error| Failure::Failed(format!("signals cannot be heard: {error}")))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if sender.send(()).await.is_err() {
                        break;
                    }
                }
            });
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if sender.send(()).await.is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}
