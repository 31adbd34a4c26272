//! `static`: the addresses that the operator named, looked up anew each time.

use super::list::resolve;
use super::{Discovery, DiscoveryError, Found};

/// One address or name.
pub(super) struct Static(pub(super) String);

#[async_trait::async_trait]
impl Discovery for Static {
    fn name(&self) -> String {
        format!("static://{}", self.0)
    }

    async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
        resolve(&self.0, found).await
    }
}
