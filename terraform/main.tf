locals {
  name = "headrace-${var.environment}"
}

module "keys" {
  source     = "./modules/keys"
  name       = local.name
  region     = var.region
  account_id = var.account_id
}

module "storage" {
  source                 = "./modules/storage"
  name                   = local.name
  account_id             = var.account_id
  kms_key_arn            = module.keys.arn
  page_origins           = var.page_origins
  deleted_originals_days = var.deleted_originals_days
  logs_days              = var.logs_days
  disposable             = var.disposable
}

module "catalog" {
  source      = "./modules/catalog"
  name        = local.name
  kms_key_arn = module.keys.arn
  disposable  = var.disposable
}

module "network" {
  source          = "./modules/network"
  name            = local.name
  region          = var.region
  cidr            = var.cidr
  nat_per_zone    = var.nat_per_zone
  logs_bucket_arn = module.storage.logs_bucket_arn
}

module "queue" {
  source                  = "./modules/queue"
  name                    = local.name
  vpc_id                  = module.network.vpc_id
  subnet_ids              = module.network.private_subnet_ids
  nodes_security_group_id = module.cluster.nodes_security_group_id
  node_type               = var.queue_node_type
  auth_token              = var.queue_password
  kms_key_arn             = module.keys.arn
}

module "cluster" {
  source             = "./modules/cluster"
  name               = local.name
  kubernetes_version = var.kubernetes_version
  subnet_ids         = module.network.private_subnet_ids
  kms_key_arn        = module.keys.arn
  admin_role_arns    = var.admin_role_arns
  admin_cidrs        = var.admin_cidrs
  node_groups        = local.node_groups
  disposable         = var.disposable
}

data "aws_ec2_managed_prefix_list" "cloudfront" {
  name = "com.amazonaws.global.cloudfront.origin-facing"
}

module "load_balancer" {
  source                  = "./modules/load_balancer"
  for_each                = local.load_balancers
  name                    = "${local.name}-${each.key}"
  vpc_id                  = module.network.vpc_id
  subnet_ids              = module.network.private_subnet_ids
  client_cidr             = each.value.cidr
  client_prefix_list_id   = each.value.prefix_list
  nodes_security_group_id = module.cluster.nodes_security_group_id
  port                    = 8080
  idle_timeout_s          = 70 # between CloudFront's keep-alive of 60 s and server.readtimeout of 75 s
  certificate_arn         = each.value.certificate_arn
  logs_bucket             = module.storage.names["logs"]
  access_logs             = each.value.access_logs
  disposable              = var.disposable
  depends_on              = [module.storage] # the load balancer tries the bucket's policy
}

module "identity" {
  source            = "./modules/identity"
  name              = local.name
  region            = var.region
  account_id        = var.account_id
  policies          = "${path.root}/../deployments/iam"
  namespace         = "headrace"
  cluster_name      = module.cluster.name
  oidc_provider_arn = module.cluster.oidc_provider_arn
  oidc_issuer       = module.cluster.oidc_issuer
  buckets           = module.storage.names
  table             = module.catalog.table
  secret_arn        = aws_secretsmanager_secret.this.arn
  kms_key_arn       = module.keys.arn
  target_group_arns = { for process, balancer in module.load_balancer : process => balancer.target_group_arn }
}

module "cdn" {
  source            = "./modules/cdn"
  name              = local.name
  region            = var.region
  figures           = "${path.root}/../deployments/cloudfront"
  load_balancer_arn = module.load_balancer["origin"].arn
  origin_domain     = var.origin_domain
  origin_secret     = var.origin_secrets[0]
  domain            = var.media_domain
  certificate_arn   = var.media_certificate_arn
  price_class       = var.price_class
  signing_keys      = var.signing_keys
  signed_playback   = var.signed_playback
  page_origins      = var.page_origins
  logs_bucket_arn   = module.storage.logs_bucket_arn
}

module "alarms" {
  source             = "./modules/alarms"
  name               = local.name
  region             = var.region
  environment        = var.environment
  kms_key_arn        = module.keys.arn
  emails             = var.alarm_emails
  monthly_budget_usd = var.monthly_budget_usd
  distribution_id    = module.cdn.distribution_id
  table              = module.catalog.table
  queue_cluster_ids  = module.queue.cluster_ids
  load_balancers = { for process, balancer in module.load_balancer : process => {
    load_balancer = balancer.arn_suffix
    target_group  = balancer.target_group_arn_suffix
  } }
}
