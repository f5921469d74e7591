//! Lists, creates and removes networks and volumes.

use std::collections::HashMap;

use bollard::{
    models::{NetworkCreateRequest, NetworkDisconnectRequest, VolumeCreateRequest},
    query_parameters::{
        InspectNetworkOptions, ListNetworksOptions, ListVolumesOptions, RemoveVolumeOptions,
    },
};
use manifests::compose_file::{Network, Volume};

use super::{Engine, errors::EngineError};

/// A network or a volume in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name. Two networks can have the same.
    pub name: String,
    /// A network's id, a volume's name.
    pub id: String,
    /// Its labels.
    pub labels: HashMap<String, String>,
}

type Labels = HashMap<String, String>;

impl Engine {
    /// Returns the networks with that label, `name=value`.
    ///
    /// # Errors
    /// [`EngineError`] if the request fails, as everywhere here.
    pub async fn networks(&self, label: &str) -> Result<Vec<Named>, EngineError> {
        self.list_networks(HashMap::from([("label".into(), vec![label.into()])])).await
    }

    /// Returns the networks of exactly that name, with any labels.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn networks_named(&self, name: &str) -> Result<Vec<Named>, EngineError> {
        let filters = HashMap::from([("name".into(), vec![format!("^{name}$")])]);
        let mut networks = self.list_networks(filters).await?;
        networks.retain(|network| network.name == name);
        Ok(networks)
    }

    async fn list_networks(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<Named>, EngineError> {
        let list = self
            .docker
            .list_networks(Some(ListNetworksOptions { filters: Some(filters) }))
            .await
            .map_err(self.could_not(|| "list the networks".into()))?;
        let read = |network: bollard::models::Network| Named {
            name: network.name.unwrap_or_default(),
            id: network.id.unwrap_or_default(),
            labels: network.labels.unwrap_or_default(),
        };
        Ok(list.into_iter().map(read).collect())
    }

    /// Creates a network.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn create_network(
        &self,
        name: &str,
        network: &Network,
        labels: Labels,
    ) -> Result<(), EngineError> {
        let request = NetworkCreateRequest {
            name: name.into(),
            driver: network.driver.clone(),
            internal: Some(network.internal),
            attachable: Some(network.attachable),
            options: Some(network.driver_opts.clone().into_iter().collect()),
            labels: Some(labels),
            ..Default::default()
        };
        let created = self.docker.create_network(request).await;
        created.map(drop).map_err(self.could_not(|| format!("create the network {name}")))
    }

    /// Removes a network. A missing one is not an error.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn remove_network(&self, network: &Named) -> Result<(), EngineError> {
        let removed = self.docker.remove_network(&network.id).await;
        let what = || format!("remove the network {}", network.name);
        match removed.map_err(self.could_not(what)) {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer,
        }
    }

    /// Returns the names of the containers on a network, each with its id.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn members(&self, network: &Named) -> Result<Vec<(String, String)>, EngineError> {
        let inspected =
            self.docker.inspect_network(&network.id, None::<InspectNetworkOptions>).await;
        let inspected = inspected
            .map_err(self.could_not(|| format!("inspect the network {}", network.name)))?;
        let members = inspected.containers.unwrap_or_default();
        Ok(members.into_iter().map(|(id, member)| (id, member.name.unwrap_or_default())).collect())
    }

    /// Disconnects a container that a crash of the engine left on a network.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn disconnect(&self, network: &Named, id: &str) -> Result<(), EngineError> {
        let request = NetworkDisconnectRequest { container: id.into(), force: Some(true) };
        let disconnected = self.docker.disconnect_network(&network.id, request).await;
        disconnected
            .map_err(self.could_not(|| format!("disconnect a container from {}", network.name)))
    }

    /// Returns the volumes with that label, `name=value`.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn volumes(&self, label: &str) -> Result<Vec<Named>, EngineError> {
        self.list_volumes(HashMap::from([("label".into(), vec![label.into()])])).await
    }

    /// Returns the volume of exactly that name, with any labels.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn volume_named(&self, name: &str) -> Result<Option<Named>, EngineError> {
        let filters = HashMap::from([("name".into(), vec![format!("^{name}$")])]);
        Ok(self.list_volumes(filters).await?.into_iter().find(|volume| volume.name == name))
    }

    async fn list_volumes(
        &self,
        filters: HashMap<String, Vec<String>>,
    ) -> Result<Vec<Named>, EngineError> {
        let list = self
            .docker
            .list_volumes(Some(ListVolumesOptions { filters: Some(filters) }))
            .await
            .map_err(self.could_not(|| "list the volumes".into()))?;
        let read = |volume: bollard::models::Volume| Named {
            id: volume.name.clone(),
            name: volume.name,
            labels: volume.labels,
        };
        Ok(list.volumes.unwrap_or_default().into_iter().map(read).collect())
    }

    /// Creates a volume.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn create_volume(
        &self,
        name: &str,
        volume: &Volume,
        labels: Labels,
    ) -> Result<(), EngineError> {
        let request = VolumeCreateRequest {
            name: Some(name.into()),
            driver: volume.driver.clone(),
            driver_opts: Some(volume.driver_opts.clone().into_iter().collect()),
            labels: Some(labels),
            ..Default::default()
        };
        let created = self.docker.create_volume(request).await;
        created.map(drop).map_err(self.could_not(|| format!("create the volume {name}")))
    }

    /// Removes a volume and its data. A missing one is not an error.
    ///
    /// # Errors
    /// The refusal of the engine, or that it does not answer.
    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let removed = self.docker.remove_volume(name, None::<RemoveVolumeOptions>).await;
        match removed.map_err(self.could_not(|| format!("remove the volume {name}"))) {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer,
        }
    }
}
