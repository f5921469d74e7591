//! Containers to work in: created from an image, given files, used to run programs, and read from.

use std::{
    io,
    time::{Duration, Instant},
};

use bollard::{
    body_try_stream,
    container::LogOutput,
    exec::{StartExecOptions, StartExecResults},
    models::{ContainerCreateBody, ExecConfig, HostConfig, Mount, MountType, MountVolumeOptions},
    query_parameters::{
        CreateContainerOptions, DownloadFromContainerOptions, UploadToContainerOptions,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::time::sleep;

use super::{Engine, errors::EngineError};

/// The longest life of one: if its owner is killed, it ends by itself.
const WORK_MAX: Duration = Duration::from_secs(4 * 60 * 60);

/// How long a name may stay in use after the removal of its container.
const NAME_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often the name is tried.
const TRY_EVERY: Duration = Duration::from_millis(20);

/// A container to work in.
#[derive(Clone, Debug)]
pub struct Workshop<'a> {
    /// Its name; another container of that name is removed.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
    /// Volumes, each with its mount point. Missing ones are created.
    pub volumes: &'a [(&'a str, &'a str)],
    /// The label of everything that is created.
    pub label: &'a str,
}

impl Engine {
    /// Creates and starts a workshop, and returns its id.
    ///
    /// # Errors
    /// [`EngineError`] if it can't be created; [`EngineError::is_not_found`] if there is no such image.
    pub async fn open_workshop(&self, workshop: &Workshop<'_>) -> Result<String, EngineError> {
        let labels = || Some([(workshop.label.to_owned(), String::new())].into());
        let mounts = workshop.volumes.iter().map(|(volume, folder)| Mount {
            typ: Some(MountType::VOLUME),
            source: Some((*volume).to_owned()),
            target: Some((*folder).to_owned()),
            volume_options: Some(MountVolumeOptions { labels: labels(), ..Default::default() }),
            ..Default::default()
        });
        let body = ContainerCreateBody {
            image: Some(workshop.image.into()),
            entrypoint: Some(Vec::new()),
            cmd: Some(vec!["sleep".into(), WORK_MAX.as_secs().to_string()]),
            labels: labels(),
            host_config: Some(HostConfig {
                mounts: Some(mounts.collect()),
                auto_remove: Some(true),
                ..Default::default()
            }),
            ..Default::default()
        };
        let id = self.create_in_place_of(workshop.name, body).await?;
        self.start_container(&id, workshop.name).await?;
        Ok(id)
    }

    /// Creates a container, and returns its id. Another container of that name is removed.
    async fn create_in_place_of(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, EngineError> {
        let since = Instant::now();
        loop {
            self.remove_container(name).await?;
            let options = CreateContainerOptions { name: Some(name.into()), ..Default::default() };
            let created = self
                .docker
                .create_container(Some(options), body.clone())
                .await
                .map_err(self.could_not(|| format!("create the container {name}")));
            match created {
                Err(error) if error.is_conflict() && since.elapsed() < NAME_WAIT_MAX => {
                    sleep(TRY_EVERY).await;
                }
                answer => return answer.map(|created| created.id),
            }
        }
    }

    /// Unpacks an archive, sent in pieces, at the root of a container.
    ///
    /// # Errors
    /// [`EngineError`] if the engine refuses it, or a piece is an error.
    pub async fn put_files(
        &self,
        id: &str,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptions { path: "/".into(), ..Default::default() };
        self.docker
            .upload_to_container(id, Some(options), body_try_stream(archive))
            .await
            .map_err(self.could_not(|| format!("put files into the container {id}")))
    }

    /// Returns an archive of one file of a container, of any size.
    ///
    /// # Errors
    /// [`EngineError`] if it does not exist.
    pub async fn take_file(&self, id: &str, path: &str) -> Result<Vec<u8>, EngineError> {
        let options = DownloadFromContainerOptions { path: path.into() };
        self.docker
            .download_from_container(id, Some(options))
            .try_fold(Vec::new(), async |mut archive, piece| {
                archive.extend_from_slice(&piece);
                Ok(archive)
            })
            .await
            .map_err(self.could_not(|| format!("read {path} of the container {id}")))
    }

    /// Runs a program in a container, passes its output on, and returns its exit code.
    ///
    /// # Errors
    /// [`EngineError`] if it can't be run.
    pub async fn run_heard(
        &self,
        id: &str,
        folder: &str,
        command: &[String],
        variables: &[(&str, String)],
        mut hear_stdout: impl FnMut(&[u8]),
        mut hear_stderr: impl FnMut(&[u8]),
    ) -> Result<i64, EngineError> {
        let what = || format!("run {} in the container {id}", command.join(" "));
        let config = ExecConfig {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            env: Some(variables.iter().map(|(name, value)| format!("{name}={value}")).collect()),
            working_dir: Some(folder.into()),
            ..Default::default()
        };
        let exec = self.docker.create_exec(id, config).await.map_err(self.could_not(what))?;
        let started = self.docker.start_exec(&exec.id, None::<StartExecOptions>).await;
        if let StartExecResults::Attached { mut output, .. } =
            started.map_err(self.could_not(what))?
        {
            while let Some(said) = output.next().await {
                match said.map_err(self.could_not(what))? {
                    LogOutput::StdOut { message } => hear_stdout(&message),
                    LogOutput::StdErr { message } => hear_stderr(&message),
                    LogOutput::StdIn { .. } | LogOutput::Console { .. } => {}
                }
            }
        }
        let ended = self.docker.inspect_exec(&exec.id).await.map_err(self.could_not(what))?;
        Ok(ended.exit_code.unwrap_or(-1))
    }
}
