//! Rules for databases, volumes and file systems.

use super::rule;
use crate::bindings::exports::outrigger::policy_validator::policies::Severity;
use crate::condition::Condition::Absent;
use crate::condition::{differs, equals};
use crate::rule::{Rule, at};

pub fn rules() -> Vec<Rule> {
    vec![
        Rule {
            targets: vec![
                at("AWS::RDS::DBInstance", "/Properties/StorageEncrypted", equals(true))
                    .when("/Properties/DBClusterIdentifier", Absent),
                at("AWS::RDS::DBCluster", "/Properties/StorageEncrypted", equals(true)),
                at("AWS::EC2::Volume", "/Properties/Encrypted", equals(true)),
                at("AWS::EFS::FileSystem", "/Properties/Encrypted", equals(true)),
                at("AWS::Redshift::Cluster", "/Properties/Encrypted", equals(true)),
                at("aws_db_instance", "/storage_encrypted", equals(true)),
                at("aws_rds_cluster", "/storage_encrypted", equals(true)),
                at("aws_ebs_volume", "/encrypted", equals(true)),
                at("aws_efs_file_system", "/encrypted", equals(true)),
                at("aws_redshift_cluster", "/encrypted", equals(true)),
            ],
            ..rule(
                "aws-encryption-at-rest",
                Severity::High,
                "Databases, volumes and file systems are encrypted",
                "the data is stored without encryption",
                "Looks at databases of RDS and Redshift, volumes of EBS and file systems of EFS. Encryption cannot be \
                 turned on later: the data has to be copied.",
                "Turn on encryption, with a key of your own where access to the key is to be controlled.",
            )
        },
        Rule {
            targets: vec![
                at("AWS::RDS::DBInstance", "/Properties/PubliclyAccessible", differs(true)),
                at("AWS::Redshift::Cluster", "/Properties/PubliclyAccessible", differs(true)),
                at("AWS::DMS::ReplicationInstance", "/Properties/PubliclyAccessible", differs(true)),
                at("aws_db_instance", "/publicly_accessible", differs(true)),
                at("aws_rds_cluster_instance", "/publicly_accessible", differs(true)),
                at("aws_redshift_cluster", "/publicly_accessible", differs(true)),
            ],
            ..rule(
                "aws-database-public",
                Severity::Critical,
                "Databases have no public address",
                "the database can be reached from the internet",
                "Looks at databases of RDS and Redshift, and at replication instances. One wrong rule of a security \
                 group is then all that stands between the data and everyone.",
                "Set `PubliclyAccessible` to false, and reach the database through its network.",
            )
        },
        Rule {
            targets: vec![
                at("AWS::RDS::DBInstance", "/Properties/DeletionProtection", equals(true))
                    .when("/Properties/DBClusterIdentifier", Absent),
                at("AWS::RDS::DBCluster", "/Properties/DeletionProtection", equals(true)),
                at("AWS::DynamoDB::Table", "/Properties/DeletionProtectionEnabled", equals(true)),
                at("aws_db_instance", "/deletion_protection", equals(true)),
                at("aws_rds_cluster", "/deletion_protection", equals(true)),
                at("aws_dynamodb_table", "/deletion_protection_enabled", equals(true)),
            ],
            ..rule(
                "aws-deletion-protection",
                Severity::Medium,
                "Databases are protected from deletion",
                "the database can be deleted by one call",
                "Looks at databases of RDS and tables of DynamoDB.",
                "Turn on deletion protection, and turn it off in a change of its own before a database is to go.",
            )
        },
    ]
}
