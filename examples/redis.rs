//! Two processes of one service, which take turns at the same accounts by locks on Redis.
//!
//! Run it with `cargo run --example redis`. It needs a server, by default at localhost:6379; `REDIS_URL` names another.
//! The program starts itself once more, so that there really are two processes. Both work off orders for the same
//! accounts; then the second is killed while it holds a lock, and the first goes on when the lease has ended. It
//! stops by itself after a few seconds.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orchestrix_locking::{BoxError, FencingToken, LockOptions, Locking, RedisLockOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::sleep;

const ACCOUNTS: [&str; 3] = ["alice", "bob", "carol"];
const ORDERS: i64 = 4; // per account and process
const START: i64 = 100;
/// How long the lock of a killed process stays held. 2 s, since the end of the demonstration waits for it; 10 s suits
/// most services, and 30 s is the default.
const TTL: Duration = Duration::from_secs(2);

/// What both processes do the same way: register the locks.
fn register() -> Result<Locking, BoxError> {
    let server = std::env::var("REDIS_URL").unwrap_or_else(|_| "localhost:6379".to_owned());
    let options = RedisLockOptions::default().connection_string(server).key_prefix("example:lock:");
    Ok(Locking::builder().add_redis_locking(options).default_options(LockOptions::default().ttl(TTL)).build()?)
}

// ---- The work ------------------------------------------------------------------------------------------------

/// The store that both processes write to: a file for each account, with its balance and the highest token so far.
#[derive(Debug, Clone)]
struct Store(PathBuf);

impl Store {
    fn set(&self, account: &str, balance: i64, token: u64) -> Result<(), BoxError> {
        Ok(std::fs::write(self.0.join(account), format!("{balance} {token}"))?)
    }

    fn get(&self, account: &str) -> Result<(i64, u64), BoxError> {
        let text = std::fs::read_to_string(self.0.join(account))?;
        let (balance, token) = text.split_once(' ').ok_or("a file of the store is torn")?;
        Ok((balance.parse()?, token.parse()?))
    }

    fn read(&self, account: &str, token: FencingToken) -> Result<i64, BoxError> {
        let (balance, highest) = self.get(account)?;
        // A lower token comes from a holder that has lost the lock. A database checks it in the same statement.
        if token.get() < highest {
            return Err("the token is stale".into());
        }
        Ok(balance)
    }

    fn write(&self, account: &str, token: FencingToken, balance: i64) -> Result<(), BoxError> {
        self.read(account, token)?;
        self.set(account, balance, token.get())
    }
}

/// One order that was processed. Times are those of the wall clock, since two processes compare them.
#[derive(Debug)]
struct Order {
    account: String,
    token: u64,
    from: Duration,
    to: Duration,
    balance: i64,
}

/// Takes 1 from an account, as services do: reads, works for a while, and writes the result.
async fn work_off(locking: Locking, store: Store, account: &'static str) -> Result<Order, BoxError> {
    let lock = locking.lock(format!("account:{account}"))?;
    let guard = lock.try_acquire(Duration::from_secs(10)).await?.ok_or("others held the lock for 10 s")?;
    let from = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let token = guard.fencing_token();
    let balance = store.read(account, token)? - 1;
    sleep(Duration::from_millis(10)).await;
    store.write(account, token, balance)?;
    let to = SystemTime::now().duration_since(UNIX_EPOCH)?;
    guard.release().await?;
    Ok(Order { account: account.to_owned(), token: token.get(), from, to, balance })
}

/// Processes all orders of this process concurrently.
async fn work_off_all(locking: &Locking, store: &Store) -> Result<Vec<Order>, BoxError> {
    let mut orders = JoinSet::new();
    for account in ACCOUNTS {
        for _ in 0..ORDERS {
            orders.spawn(work_off(locking.clone(), store.clone(), account));
        }
    }
    let mut done = Vec::new();
    while let Some(order) = orders.join_next().await {
        done.push(order??);
    }
    Ok(done)
}

// ---- The second process --------------------------------------------------------------------------------------

/// Prints `ready`, works after it has read a line, prints its orders, and is killed while it holds a lock.
async fn second(directory: &Path) -> Result<(), BoxError> {
    let locking = register()?;
    locking.check().await?;
    println!("ready");
    let mut commands = BufReader::new(tokio::io::stdin()).lines();
    // A closed input means that the first process is gone.
    if commands.next_line().await?.is_none() {
        locking.close().await;
        return Ok(());
    }
    for order in work_off_all(&locking, &Store(directory.to_owned())).await? {
        println!("{order}");
    }
    println!("done");
    if commands.next_line().await?.is_some() {
        let guard = locking.lock("account:alice")?.acquire().await?;
        println!("{}", guard.fencing_token());
        while commands.next_line().await?.is_some() {}
    }
    // If it is not killed: the guard was only dropped, and this waits for its release.
    locking.close().await;
    Ok(())
}

impl std::fmt::Display for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { account, token, from, to, balance } = self;
        write!(f, "{account} {token} {} {} {balance}", from.as_micros(), to.as_micros())
    }
}

impl FromStr for Order {
    type Err = BoxError;

    fn from_str(line: &str) -> Result<Self, BoxError> {
        let mut words = line.split(' ');
        let mut next = || words.next().ok_or_else(|| format!("no order: {line}"));
        Ok(Self {
            account: next()?.to_owned(),
            token: next()?.parse()?,
            from: Duration::from_micros(next()?.parse()?),
            to: Duration::from_micros(next()?.parse()?),
            balance: next()?.parse()?,
        })
    }
}

/// The second process, as the first one sees it. Dropping it kills it.
struct Second {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Second {
    fn start(directory: &Path) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--second")
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        Ok(Self { child, input, output })
    }

    async fn hear(&mut self) -> Result<String, BoxError> {
        Ok(self.output.next_line().await?.ok_or("the second process has ended")?)
    }

    async fn tell(&mut self, line: &str) -> Result<(), BoxError> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }
}

// ---- The first process ---------------------------------------------------------------------------------------

async fn first(locking: &Locking, directory: &Path) -> Result<(), BoxError> {
    let store = Store(directory.to_owned());
    for account in ACCOUNTS {
        store.set(account, START, 0)?;
    }
    let mut second = Second::start(directory)?;
    while second.hear().await? != "ready" {}

    println!("Two processes, 1 and 2, have {ORDERS} orders each for each of {} accounts.\n", ACCOUNTS.len());
    second.tell("work").await?;
    let mut orders: Vec<_> = work_off_all(locking, &store).await?.into_iter().map(|order| (1, order)).collect();
    loop {
        match second.hear().await?.as_str() {
            "done" => break,
            line => orders.push((2, line.parse()?)),
        }
    }
    let expected = START - 2 * ORDERS;
    for account in ACCOUNTS {
        let mut of: Vec<_> = orders.iter().filter(|(_, order)| order.account == account).collect();
        of.sort_by_key(|(_, order)| order.from);
        show(account, &of)?;
        if store.get(account)?.0 != expected {
            return Err(format!("updates of {account} were lost").into());
        }
    }
    println!("No two overlapped, tokens rose all the way, and every balance is {expected}: no update was lost.\n");

    second.tell("hold").await?;
    println!(
        "Process 2 holds account:alice under token {}, with a lease of {TTL:?}; it is killed.",
        second.hear().await?
    );
    second.child.kill().await?;
    let killed = Instant::now();
    let guard = locking.lock("account:alice")?.acquire().await?;
    let waited = killed.elapsed();
    println!("Process 1 has it {} ms later, under token {}.", waited.as_millis(), guard.fencing_token());
    guard.release().await?;
    // It was killed after its last renewal, so at most the whole lease was left.
    if waited > TTL + Duration::from_secs(1) {
        return Err("that took longer than the lease".into());
    }
    Ok(())
}

/// Prints the orders of one account by their time, and checks that none began before the one before it had ended.
fn show(account: &str, orders: &[&(i32, Order)]) -> Result<(), BoxError> {
    let begin = orders.first().map_or(Duration::ZERO, |(_, order)| order.from);
    println!("  {account:<8} process      from        to  balance  token");
    let mut before: Option<&Order> = None;
    for (process, order) in orders {
        let at = |time: Duration| format!("{:.1} ms", time.saturating_sub(begin).as_secs_f64() * 1e3);
        let Order { from, to, balance, token, .. } = order;
        println!("  {:<8} {process:>7}  {:>8}  {:>8}  {balance:>7}  {token}", "", at(*from), at(*to));
        if before.is_some_and(|before| *from < before.to || *token <= before.token) {
            return Err(format!("two orders of {account} overlapped").into());
        }
        before = Some(order);
    }
    println!();
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let outcome = match arguments.next() {
        Some(argument) if argument == "--second" => match arguments.next() {
            Some(directory) => second(Path::new(&directory)).await,
            None => Err("--second needs the directory of the store".into()),
        },
        // `--once` changes nothing: it ends by itself in any case.
        _ => run().await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let locking = register()?;
    if let Err(error) = locking.check().await {
        let how =
            "Start one with `redis-server --port 6379` or `docker run --rm -p 6379:6379 redis`, or set REDIS_URL.";
        return Err(format!("This example needs a Redis server: {error}\n{how}").into());
    }
    let directory = std::env::temp_dir().join(format!("orchestrix-example-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let outcome = first(&locking, &directory).await;
    // Before any `?`: this also waits for the releases of guards that an early return has dropped.
    locking.close().await;
    std::fs::remove_dir_all(&directory)?;
    outcome
}
