locals {
  media   = toset(["raw", "processed"])
  buckets = setunion(local.media, ["logs"])

  # Who writes logs, and what has to be ours of whatever it writes them for.
  log_writers = {
    delivery  = { service = "delivery.logs.amazonaws.com", variable = "aws:SourceAccount", value = var.account_id }
    buckets   = { service = "logging.s3.amazonaws.com", variable = "aws:SourceAccount", value = var.account_id }
    balancers = { service = "logdelivery.elasticloadbalancing.amazonaws.com", variable = "aws:SourceArn", value = "arn:aws:elasticloadbalancing:*:${var.account_id}:*" }
  }
}

resource "aws_s3_bucket" "this" {
  for_each      = local.buckets
  bucket        = "${var.name}-${each.key}-${var.account_id}"
  force_destroy = var.disposable
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = aws_s3_bucket.this
  bucket                  = each.value.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "media" {
  for_each = local.media
  bucket   = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.this["logs"].id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256" # all that the writers of access logs can use
    }
  }
}

# Originals cannot be made again, so what deletes or replaces one by mistake can be undone for a
# while. Packages can be: a version of each segment would only double what is paid.
resource "aws_s3_bucket_versioning" "this" {
  for_each = aws_s3_bucket.this
  bucket   = each.value.id

  versioning_configuration {
    status = each.key == "raw" ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each   = aws_s3_bucket.this
  bucket     = each.value.id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "abandoned-uploads"
    status = "Enabled"
    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  dynamic "rule" {
    for_each = each.key == "raw" ? ["deleted-originals"] : []

    content {
      id     = rule.value
      status = "Enabled"
      filter {}

      noncurrent_version_expiration {
        noncurrent_days = var.deleted_originals_days
      }

      expiration {
        expired_object_delete_marker = true
      }
    }
  }

  dynamic "rule" {
    for_each = each.key == "logs" ? ["old-logs"] : []

    content {
      id     = rule.value
      status = "Enabled"
      filter {}

      expiration {
        days = var.logs_days
      }
    }
  }
}

# Direct uploads by browsers: what a presigned PUT or POST sends. Whoever has no signature is refused
# whatever page it comes from.
resource "aws_s3_bucket_cors_configuration" "raw" {
  count  = length(var.page_origins) > 0 ? 1 : 0
  bucket = aws_s3_bucket.this["raw"].id

  cors_rule {
    allowed_methods = ["PUT", "POST"]
    allowed_origins = var.page_origins
    allowed_headers = ["content-type", "if-none-match", "x-amz-*"]
    expose_headers  = ["ETag"]
    max_age_seconds = 3600
  }
}

resource "aws_s3_bucket_logging" "media" {
  for_each      = local.media
  bucket        = aws_s3_bucket.this[each.key].id
  target_bucket = aws_s3_bucket.this["logs"].id
  target_prefix = "s3/${each.key}/"
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.buckets

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this[each.key].arn, "${aws_s3_bucket.this[each.key].arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? local.log_writers : {}

    content {
      sid       = "From${title(statement.key)}"
      actions   = ["s3:PutObject"]
      resources = ["${aws_s3_bucket.this[each.key].arn}/*"]

      principals {
        type        = "Service"
        identifiers = [statement.value.service]
      }

      condition {
        test     = "StringLike"
        variable = statement.value.variable
        values   = [statement.value.value]
      }
    }
  }

  dynamic "statement" {
    for_each = each.key == "logs" ? ["delivery.logs.amazonaws.com"] : []

    content {
      sid       = "DeliveryChecks"
      actions   = ["s3:GetBucketAcl"]
      resources = [aws_s3_bucket.this[each.key].arn]

      principals {
        type        = "Service"
        identifiers = [statement.value]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [var.account_id]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each   = local.buckets
  bucket     = aws_s3_bucket.this[each.key].id
  policy     = data.aws_iam_policy_document.bucket[each.key].json
  depends_on = [aws_s3_bucket_public_access_block.this]
}
