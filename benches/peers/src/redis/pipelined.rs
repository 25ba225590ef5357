//! The raw lock, with the commands of all tasks gathered into explicit pipelines. For keys that no other task wants.

use std::sync::Arc;

use redis::{Cmd, RedisResult, Value};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::raw::{RELEASE, TTL_MILLIS, connect, token};
use super::{Client, Lock};
use crate::Result;

/// So that the server works on one while the next is gathered.
const IN_FLIGHT: usize = 2;
const LONGEST: usize = 512;

struct Job {
    command: Cmd,
    answer: oneshot::Sender<RedisResult<Value>>,
}

#[derive(Clone)]
pub(crate) struct Pipelined {
    jobs: mpsc::UnboundedSender<Job>,
    release: Arc<str>,
}

impl Pipelined {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let mut connection = connect(url).await?;
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(RELEASE).query_async(&mut connection).await?;
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        tokio::spawn(async move {
            let permits = Arc::new(Semaphore::new(IN_FLIGHT));
            let mut gathered = Vec::new();
            while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
                if inbox.recv_many(&mut gathered, LONGEST).await == 0 {
                    return;
                }
                let mut pipeline = redis::pipe();
                let mut answers = Vec::with_capacity(gathered.len());
                for job in gathered.drain(..) {
                    pipeline.add_command(job.command);
                    answers.push(job.answer);
                }
                let mut connection = connection.clone();
                tokio::spawn(async move {
                    // On an error no task is answered: each waiting task sees that its channel is closed.
                    let values: Vec<Value> = pipeline.query_async(&mut connection).await.unwrap_or_default();
                    drop(permit);
                    for (answer, value) in answers.into_iter().zip(values) {
                        _ = answer.send(Ok(value));
                    }
                });
            }
        });
        Ok(Self { jobs, release: sha.into() })
    }

    async fn ask(&self, command: Cmd) -> Result<Value> {
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job { command, answer }).map_err(|_| "the gathering task has ended")?;
        Ok(answered.await??)
    }
}

impl Client for Pipelined {
    type Lock = PipelinedLock;

    fn lock(&self, name: &str) -> Result<PipelinedLock> {
        Ok(PipelinedLock { client: self.clone(), key: name.into() })
    }
}

pub(crate) struct PipelinedLock {
    client: Pipelined,
    key: String,
}

impl Lock for PipelinedLock {
    type Held = String;

    async fn acquire(&self) -> Result<String> {
        let token = token();
        let mut set = redis::cmd("SET");
        set.arg(&self.key).arg(&token).arg("NX").arg("PX").arg(TTL_MILLIS);
        match self.client.ask(set).await? {
            Value::Okay => Ok(token),
            other => Err(format!("the key is taken: {other:?}").into()),
        }
    }

    async fn release(&self, token: String) -> Result<()> {
        let mut eval = redis::cmd("EVALSHA");
        eval.arg(&*self.client.release).arg(1).arg(&self.key).arg(token);
        self.client.ask(eval).await?;
        Ok(())
    }
}
