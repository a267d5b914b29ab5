//! Whether clients may be sent here, in the form of `grpc.health.v1`.

use std::{collections::BTreeSet, time::Duration};

use dfuse_query::{ApiError, ErrorCode, Look, Place, Service};
use futures::stream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use crate::call::{Call, Messages};

/// How often those who watch look.
const POLL: Duration = Duration::from_secs(1);

/// The health of the server, which is that of each of its services.
#[derive(Clone)]
pub(crate) struct OwnHealth {
    services: BTreeSet<&'static str>,
    stopping: CancellationToken,
}

impl OwnHealth {
    /// That of a server with those services.
    pub(crate) fn new(services: impl IntoIterator<Item = &'static str>, stopping: CancellationToken) -> Self {
        Self { services: services.into_iter().collect(), stopping }
    }

    async fn look(&self, service: &Service) -> HealthCheckResponse {
        let status = match is_ready(service, &self.stopping).await {
            true => ServingStatus::Serving,
            false => ServingStatus::NotServing,
        };
        HealthCheckResponse { status: status.into() }
    }

    fn is_known(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(service)
    }
}

/// Whether all conditions of readiness hold.
pub(crate) async fn is_ready(service: &Service, stopping: &CancellationToken) -> bool {
    let look = Look::take(service, stopping.is_cancelled()).await;
    look.is_ok_and(|look| look.conditions.values().all(Result::is_ok))
}

#[async_trait::async_trait]
impl Health for OwnHealth {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let work = async {
            if !self.is_known(&request.service) {
                let message = "There is no service of this name.";
                return Err(ApiError::new(ErrorCode::GrpcServiceNotFound, message));
            }
            Ok(self.look(call.service()).await)
        };
        call.answer(&request, work).await
    }

    type WatchStream = Messages<HealthCheckResponse>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let (health, service) = (self.clone(), call.service().clone());
        let is_known = self.is_known(&request.service);
        let looks = stream::unfold(None, move |last: Option<HealthCheckResponse>| {
            let (health, service) = (health.clone(), service.clone());
            async move {
                loop {
                    let now = match is_known {
                        true => health.look(&service).await,
                        false => HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() },
                    };
                    if Some(&now) != last.as_ref() {
                        return Some((Ok((now, 0)), Some(now)));
                    }
                    sleep(POLL).await;
                }
            }
        });
        Ok(call.stream(&request, Place::default(), looks))
    }
}
