# Terraform's own tests, on mocks of AWS: what a plan cannot tell yet, such as which key encrypts what.
# terraform test -var-file=environments/production.tfvars

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["zone-a", "zone-b", "zone-c", "zone-d"] }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_resource "aws_eks_cluster" {
    defaults = { identity = [{ oidc = [{ issuer = "https://oidc.example/id/1" }] }] }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:444455556666:key/ours" }
  }
}

variables {
  queue_password = "0123456789abcdef0123456789abcdef"
  origin_secrets = ["0123456789abcdef0123456789abcdef"]
  signing_keys   = [{ kid = "k1", secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }]
}

run "one_key_encrypts_all" {
  module {
    source = "./modules/storage"
  }

  variables {
    name                   = "headrace-test"
    account_id             = "444455556666"
    kms_key_arn            = "arn:aws:kms:eu-central-1:444455556666:key/ours"
    page_origins           = []
    deleted_originals_days = 30
    logs_days              = 90
    disposable             = false
  }

  assert {
    condition = alltrue([
      for bucket in aws_s3_bucket_server_side_encryption_configuration.media :
      one(one(bucket.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.kms_key_arn
    ])
    error_message = "Media are encrypted with the estate's key."
  }

  assert {
    condition     = length(aws_s3_bucket_cors_configuration.raw) == 0
    error_message = "Without pages that upload, no page may."
  }
}

run "catalog_is_encrypted_and_kept" {
  module {
    source = "./modules/catalog"
  }

  variables {
    name        = "headrace-test"
    kms_key_arn = "arn:aws:kms:eu-central-1:444455556666:key/ours"
    disposable  = false
  }

  assert {
    condition     = aws_dynamodb_table.this.server_side_encryption[0].kms_key_arn == var.kms_key_arn
    error_message = "The catalog is encrypted with the estate's key."
  }

  assert {
    condition     = aws_dynamodb_table.this.deletion_protection_enabled
    error_message = "The catalog cannot be deleted by mistake."
  }
}

run "queue_is_encrypted_and_closed" {
  module {
    source = "./modules/queue"
  }

  variables {
    name                    = "headrace-test"
    vpc_id                  = "vpc-1"
    subnet_ids              = ["subnet-1", "subnet-2"]
    nodes_security_group_id = "sg-nodes"
    node_type               = "cache.t4g.small"
    auth_token              = "0123456789abcdef0123456789abcdef"
    kms_key_arn             = "arn:aws:kms:eu-central-1:444455556666:key/ours"
  }

  assert {
    condition     = aws_elasticache_replication_group.this.kms_key_id == var.kms_key_arn
    error_message = "The queue is encrypted with the estate's key."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.nodes.referenced_security_group_id == "sg-nodes"
    error_message = "Nodes alone reach the queue."
  }
}

run "cluster_is_private_and_encrypted" {
  module {
    source = "./modules/cluster"
  }

  variables {
    name               = "headrace-test"
    kubernetes_version = "1.34"
    subnet_ids         = ["subnet-1", "subnet-2"]
    kms_key_arn        = "arn:aws:kms:eu-central-1:444455556666:key/ours"
    admin_role_arns    = []
    admin_cidrs        = []
    disposable         = false
    node_groups = {
      worker = { instance_types = ["c7i.4xlarge"], min = 0, max = 9, disk_gib = 200, spot = true, gpu = false }
      gpu    = { instance_types = ["g6.xlarge"], min = 0, max = 2, disk_gib = 200, spot = true, gpu = true }
    }
  }

  assert {
    condition     = !aws_eks_cluster.this.vpc_config[0].endpoint_public_access
    error_message = "Without networks of administrators the cluster's API is private."
  }

  assert {
    condition     = aws_eks_cluster.this.encryption_config[0].provider[0].key_arn == var.kms_key_arn
    error_message = "Kubernetes' secrets are encrypted with the estate's key."
  }

  assert {
    condition     = aws_cloudwatch_log_group.control_plane.kms_key_id == var.kms_key_arn
    error_message = "The control plane's logs are encrypted with the estate's key."
  }

  assert {
    condition = alltrue([
      for template in aws_launch_template.this :
      template.block_device_mappings[0].ebs[0].kms_key_id == var.kms_key_arn && template.metadata_options[0].http_tokens == "required"
    ])
    error_message = "Volumes are encrypted with the estate's key, and pods cannot take the node's role."
  }

  assert {
    condition     = aws_eks_node_group.this["gpu"].ami_type == "AL2023_x86_64_NVIDIA"
    error_message = "GPU nodes have NVIDIA's driver."
  }
}

run "production" {
  override_resource {
    target = module.identity.aws_iam_role.this["api"]
    values = { arn = "arn:aws:iam::444455556666:role/headrace-production-api" }
  }

  override_resource {
    target = module.cluster.aws_ecr_repository.this["api"]
    values = { repository_url = "444455556666.dkr.ecr.eu-central-1.amazonaws.com/headrace-production/api" }
  }

  override_resource {
    target = module.identity.aws_iam_role.this["origin"]
    values = { arn = "arn:aws:iam::444455556666:role/headrace-production-origin" }
  }

  override_resource {
    target = module.cluster.aws_ecr_repository.this["origin"]
    values = { repository_url = "444455556666.dkr.ecr.eu-central-1.amazonaws.com/headrace-production/origin" }
  }

  override_resource {
    target = module.identity.aws_iam_role.this["worker"]
    values = { arn = "arn:aws:iam::444455556666:role/headrace-production-worker" }
  }

  override_resource {
    target = module.cluster.aws_ecr_repository.this["worker"]
    values = { repository_url = "444455556666.dkr.ecr.eu-central-1.amazonaws.com/headrace-production/worker" }
  }

  override_resource {
    target = module.load_balancer["api"].aws_lb_target_group.this
    values = { arn = "arn:aws:elasticloadbalancing:eu-central-1:444455556666:targetgroup/headrace-production-api/example" }
  }

  override_resource {
    target = module.load_balancer["origin"].aws_lb_target_group.this
    values = { arn = "arn:aws:elasticloadbalancing:eu-central-1:444455556666:targetgroup/headrace-production-origin/example" }
  }

  override_resource {
    target = module.queue.aws_elasticache_replication_group.this
    values = { primary_endpoint_address = "master.headrace-production.example.cache.amazonaws.com" }
  }

  override_resource {
    target = module.network.aws_vpc_endpoint.gateway["s3"]
    values = { cidr_blocks = ["192.0.2.0/24"] }
  }

  assert {
    condition     = output.overlay_settings == file("../deployments/kubernetes/overlays/production/settings.env")
    error_message = "The overlay's settings.env is what is printed here."
  }

  assert {
    condition     = output.overlay_estate == file("../deployments/kubernetes/overlays/production/estate.env")
    error_message = "The overlay's estate.env is what is printed here."
  }

  assert {
    condition = yamldecode(output.s3_network_policy) == merge(yamldecode(file("../deployments/kubernetes/base/s3.yaml")), {
      spec = merge(yamldecode(file("../deployments/kubernetes/base/s3.yaml")).spec, {
        egress = [{ to = [{ ipBlock = { cidr = "192.0.2.0/24" } }], ports = [{ port = 443, protocol = "TCP" }] }]
      })
    })
    error_message = "But for the addresses base/s3.yaml is what is printed here."
  }

  assert {
    condition     = output.settings.STREAM_AWS_S3KMSKEY == "arn:aws:kms:eu-central-1:444455556666:alias/headrace-production"
    error_message = "What the service writes is encrypted with the estate's key."
  }

  assert {
    condition     = aws_secretsmanager_secret.this.kms_key_id == module.keys.arn
    error_message = "Its secrets are, too."
  }

  assert {
    condition     = jsondecode(aws_secretsmanager_secret_version.this.secret_string).STREAM_SIGNING_KEYS == "{\"k1\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"
    error_message = "Signing keys are given in their order."
  }

  assert {
    condition     = toset(keys(output.role_arns)) == toset(["api", "origin", "worker", "load-balancers", "nodes", "secrets"])
    error_message = "Each process and controller has a role of its own."
  }

  assert {
    condition     = toset(keys(output.aliases)) == toset([var.api_domain, var.origin_domain, var.media_domain])
    error_message = "DNS is told of every domain."
  }
}

run "origin_shield_needs_its_region" {
  command         = plan
  expect_failures = [var.region]

  variables {
    region = "eu-north-1"
  }
}

run "media_domain_needs_a_certificate" {
  command         = plan
  expect_failures = [var.media_certificate_arn]

  variables {
    media_certificate_arn = null
  }
}

run "cluster_is_not_open_to_all" {
  command         = plan
  expect_failures = [var.admin_cidrs]

  variables {
    admin_cidrs = ["0.0.0.0/0"]
  }
}

run "weak_secrets_are_refused" {
  command         = plan
  expect_failures = [var.queue_password, var.origin_secrets, var.signing_keys]

  variables {
    queue_password = "headrace"
    origin_secrets = ["headrace"]
    signing_keys   = [{ kid = "k1", secret = "headrace" }]
  }
}

run "signed_playback_needs_its_key" {
  command         = plan
  expect_failures = [var.signing_private_key]

  variables {
    signed_playback = { mode = "cloudfront-cookie", public_keys = ["-----BEGIN PUBLIC KEY-----"] }
  }
}
