//! `corpusd emulate-pinecone`: a server that clients of Pinecone take for it.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Arg;
use clap::ArgAction;
use clap::ArgMatches;
use clap::Command;
use clap::value_parser;

use crate::cli::Failure;
use crate::cli::say;
use crate::cli::serve;
use crate::config::Secret;
use crate::emulator::Emulator;
use crate::emulator::Options;
use crate::emulator::Plan;

/// The command's arguments.
pub fn command() -> Command {
    Command::new("emulate-pinecone")
        .about("Serves Pinecone's API over an exact index of its own, for development and tests")
        .after_help(
            "Point a client at the printed address instead of https://api.pinecone.io:\n  \
             Python      Pinecone(api_key=\"any\", host=\"http://127.0.0.1:5080\")\n  \
             TypeScript  new Pinecone({ apiKey: 'any', controllerHostUrl: 'http://127.0.0.1:5080' })\n\
             or set PINECONE_CONTROLLER_HOST for either. Indexes live below the same address.",
        )
        .arg(
            Arg::new("host")
                .long("host")
                .value_name("ADDRESS")
                .value_parser(value_parser!(IpAddr))
                .default_value("127.0.0.1")
                .help("Where to listen"),
        )
        .arg(
            Arg::new("port")
                .long("port")
                .value_name("PORT")
                .value_parser(value_parser!(u16))
                .default_value("5080")
                .help("Where to listen; 0 picks a free port"),
        )
        .arg(
            Arg::new("data")
                .long("data")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Keep everything in this folder; without it, everything is in memory and gone at the end"),
        )
        .arg(Arg::new("api-key").long("api-key").value_name("KEY").help("Let in this key only; any key otherwise"))
        .arg(
            Arg::new("allow-faults")
                .long("allow-faults")
                .action(ArgAction::SetTrue)
                .help("Let clients on this machine ask for faults (/_faults) and read the request log (/_requests)"),
        )
        .arg(
            Arg::new("faults")
                .long("faults")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .requires("allow-faults")
                .help("A plan of faults to begin with, in the JSON of /_faults"),
        )
}

/// Serves until the process is asked to stop.
pub async fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let host = matches.get_one::<IpAddr>("host").copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = matches.get_one::<u16>("port").copied().unwrap_or_default();
    let options = Options {
        address: SocketAddr::new(host, port),
        data: matches.get_one::<PathBuf>("data").cloned(),
        api_key: matches.get_one::<String>("api-key").map(Secret::new),
        allow_faults: matches.get_flag("allow-faults"),
        plan: matches.get_one::<PathBuf>("faults").map(plan).transpose()?.unwrap_or_default(),
        ..Options::default()
    };
    if options.api_key.as_ref().is_some_and(|key| key.reveal().is_empty()) {
        return Err(Failure::Usage("--api-key must not be empty".to_owned()));
    }
    let mut stop = serve::signals()?;
    let emulator = Emulator::start(options).await.map_err(|error| Failure::Failed(error.to_string()))?;
    say(&format!("listening on {}", emulator.url()));
    let _ = stop.recv().await;
    tracing::info!("stopping: finishing what is under way");
    tokio::select! {
        () = emulator.shutdown() => Ok(()),
        _ = stop.recv() => Err(Failure::Failed("stopped at once".to_owned())),
    }
}

fn plan(path: &PathBuf) -> Result<Plan, Failure> {
    let text = std::fs::read(path);
    let text = text.map_err(|error| Failure::Failed(format!("--faults: {}: {error}", path.display())))?;
    Plan::parse(&text).map_err(|reason| Failure::Usage(format!("--faults: {reason}")))
}
