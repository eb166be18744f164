# What the service is told: plain settings as an output, secrets where External Secrets finds them.
locals {
  settings = merge({
    STREAM_APP_ENVIRONMENT       = var.environment
    STREAM_AWS_REGION            = var.region
    STREAM_AWS_S3RAWBUCKET       = module.storage.names["raw"]
    STREAM_AWS_S3PROCESSEDBUCKET = module.storage.names["processed"]
    STREAM_AWS_S3ENCRYPTION      = "aws:kms"
    STREAM_AWS_S3KMSKEY          = module.keys.alias_arn
    STREAM_AWS_DYNAMODBTABLE     = module.catalog.table
    STREAM_AWS_CLOUDFRONTDOMAIN  = module.cdn.domain
    STREAM_REDIS_HOST            = module.queue.host
    STREAM_REDIS_TLS             = "true"
    STREAM_SERVER_PUBLICURL      = "https://${var.api_domain}"
    STREAM_SERVER_CORSORIGINS    = jsonencode(var.page_origins)
    }, var.signed_playback == null ? {} : {
    STREAM_SIGNING_MODE            = var.signed_playback.mode
    STREAM_SIGNING_CLOUDFRONTKEYID = module.cdn.signing_key_id
    }, try(var.signed_playback.cookie_domain, null) == null ? {} : {
    STREAM_SIGNING_COOKIEDOMAIN = var.signed_playback.cookie_domain
  })

  # An object's keys would be sorted, and the first key is the one that signs.
  signing_keys = "{${join(",", [for key in var.signing_keys : "${jsonencode(key.kid)}:${jsonencode(key.secret)}"])}}"
  secrets = merge({
    STREAM_REDIS_PASSWORD = var.queue_password
    STREAM_ORIGIN_SECRETS = jsonencode(var.origin_secrets)
    STREAM_SIGNING_KEYS   = local.signing_keys
    }, var.signed_playback == null ? {} : {
    STREAM_SIGNING_CLOUDFRONTKEY = var.signing_private_key
  })
}

resource "aws_secretsmanager_secret" "this" {
  name                    = local.name
  description             = "Secret settings of ${local.name}, by environment variable"
  kms_key_id              = module.keys.arn
  recovery_window_in_days = var.disposable ? 0 : 30
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id     = aws_secretsmanager_secret.this.id
  secret_string = jsonencode(local.secrets)
}

locals {
  node_groups = merge({
    general = merge(var.general_nodes, { disk_gib = 50, spot = false, gpu = false })
    worker  = merge(var.worker_nodes, { disk_gib = 200, spot = true, gpu = false })
    }, var.gpu_nodes == null ? {} : {
    gpu = merge(var.gpu_nodes, { disk_gib = 200, spot = true, gpu = true })
  })

  load_balancers = {
    origin = {
      cidr            = null
      prefix_list     = data.aws_ec2_managed_prefix_list.cloudfront.id
      certificate_arn = var.origin_certificate_arn
      access_logs     = false
    }
    api = { # knows users by X-User-ID alone: whoever calls it speaks for everybody
      cidr            = module.network.cidr
      prefix_list     = null
      certificate_arn = var.api_certificate_arn
      access_logs     = true
    }
  }
}
