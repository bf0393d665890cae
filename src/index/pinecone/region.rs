//! Where an index is created: cloud and region, from settings of three ages. Pure.

use crate::config::CLOUDS;
use crate::config::PineconeConfig;

/// Where the first backend put its index, when nobody said anything.
const DEFAULT: &str = "us-east-1";

/// The cloud and the region of a new index.
#[must_use]
pub fn of(config: &PineconeConfig) -> (String, String) {
    let given = config.region.as_deref().or(config.environment.as_deref()).unwrap_or(DEFAULT);
    // Environments of old end with their cloud: us-east1-gcp.
    let (region, told) = match given.rsplit_once('-') {
        Some((region, cloud)) if CLOUDS.contains(&cloud) && !region.is_empty() => (region, cloud),
        _ => (given, cloud(given)),
    };
    (config.cloud.clone().unwrap_or_else(|| told.to_owned()), region.to_owned())
}

/// The cloud whose way of naming regions this is. The service knows which ones there are.
fn cloud(region: &str) -> &'static str {
    let parts: Vec<&str> = region.split('-').collect();
    match parts.as_slice() {
        [_] => "azure",
        [_, place] if place.ends_with(|last: char| last.is_ascii_digit()) => "gcp",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_names_mean_a_cloud_and_a_region() {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        for (cloud, region, environment, found) in [
            ("", "", "", ("aws", "us-east-1")),
            ("", "", "eu-west-1", ("aws", "eu-west-1")),
            ("", "", "ap-southeast-1", ("aws", "ap-southeast-1")),
            ("", "", "us-central1", ("gcp", "us-central1")),
            ("", "", "europe-west4", ("gcp", "europe-west4")),
            ("", "", "eastus2", ("azure", "eastus2")),
            ("", "", "germanywestcentral", ("azure", "germanywestcentral")),
            ("", "", "us-east-1-aws", ("aws", "us-east-1")),
            ("", "", "us-east1-gcp", ("gcp", "us-east1")),
            ("", "", "eastus-azure", ("azure", "eastus")),
            ("", "us-west-2", "us-central1", ("aws", "us-west-2")),
            ("gcp", "moon-1", "", ("gcp", "moon-1")),
            ("azure", "", "us-east-1-aws", ("azure", "us-east-1")),
        ] {
            let config = PineconeConfig {
                cloud: some(cloud),
                region: some(region),
                environment: some(environment),
                ..PineconeConfig::default()
            };
            let (cloud, region) = of(&config);
            assert_eq!((cloud.as_str(), region.as_str()), found);
        }
    }
}
