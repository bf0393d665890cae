//! `corpusd demo`: a corpus, its vectors, an index and a server, with nothing else at hand.

use crate::app::App;
use crate::cli::Failure;
use crate::cli::export;
use crate::cli::progress::Progress;
use crate::cli::say;
use crate::cli::serve;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::settings;
use crate::error::Code;
use crate::service::import;
use crate::service::import::Import;
use crate::text;
use crate::text::Format;

/// The texts that the repository ships: id, file, text.
const CORPUS: [(&str, &str, &str); 4] = [
    ("bees", "corpus/bees.md", include_str!("../../corpus/bees.md")),
    ("bread", "corpus/bread.md", include_str!("../../corpus/bread.md")),
    ("maps", "corpus/maps.md", include_str!("../../corpus/maps.md")),
    ("tides", "corpus/tides.md", include_str!("../../corpus/tides.md")),
];

/// Loads the texts unless they are there, exports them, and serves.
pub async fn run(mut config: Config) -> Result<(), Failure> {
    // It needs nothing at all, and leaves a real index alone whatever the environment says.
    config.index.pinecone.api_key = None;
    let mut stop = serve::signals()?;
    let listener = serve::listen(&config).await?;
    let (database, pages) = (settings::redacted(&config.database.url), config.server.pages());
    let app = App::open(config, &Clock::system()).await?;
    serve::check_entrance(&app).await?;
    serve::start_sync(&app).await?;
    let prepared = tokio::select! {
        prepared = prepare(&app, &database) => prepared,
        _ = stop.recv() => {
            app.close().await;
            return Ok(());
        }
    };
    if let Err(failure) = prepared {
        app.close().await;
        return Err(failure);
    }
    let address = listener.local_addr().map_err(|error| Failure::Failed(format!("cannot serve: {error}")))?;
    say("");
    if pages {
        say(&format!("  GraphiQL       http://{address}/graphiql"));
        say(&format!("  REST, tried    http://{address}/docs"));
    }
    say(&format!("  REST, plain    http://{address}/api/documents"));
    say(&format!("  Database       {database}"));
    say("");
    serve::announce_and_serve(app, listener, stop).await
}

async fn prepare(app: &App, database: &str) -> Result<(), Failure> {
    let cx = app.cx();
    let ids: Vec<String> = CORPUS.iter().map(|(id, _, _)| (*id).to_owned()).collect();
    if import::holds_only_others(cx, &ids).await? {
        return Err(Failure::Failed(format!(
            "{database} holds other documents, which the demo leaves alone: run it in an empty folder, \
             or serve that database with `corpusd serve`"
        )));
    }
    let total = CORPUS.len() as u64;
    let mut progress = Progress::new("loading", total);
    for (done, (id, source, text)) in (1..).zip(CORPUS) {
        let import = Import {
            id: id.to_owned(),
            title: text::title(text).unwrap_or_else(|| id.to_owned()),
            source: source.to_owned(),
            format: Format::Markdown,
            text: text.to_owned(),
        };
        match import::put(cx, import).await {
            // Somebody deleted it, or put their own in its place: that is theirs.
            Err(error) if error.code() == Code::Conflict => progress.note(&format!("{id}: {error}")),
            outcome => {
                outcome?;
            }
        }
        progress.at(done, total);
    }
    progress.end();
    export::documents(app, &ids).await?;
    Ok(())
}
