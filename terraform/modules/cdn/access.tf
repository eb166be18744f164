# Who may play: the function and its keys, or CloudFront's own signatures.
resource "aws_cloudfront_key_value_store" "this" {
  name = var.name
}

resource "aws_cloudfrontkeyvaluestore_keys_exclusive" "this" { # what is not here is taken away
  key_value_store_arn = aws_cloudfront_key_value_store.this.arn

  dynamic "resource_key_value_pair" {
    for_each = nonsensitive([for key in var.signing_keys : key.kid])

    content {
      key   = "${local.function.key_prefix}${resource_key_value_pair.value}"
      value = var.signing_keys[resource_key_value_pair.key].secret
    }
  }
}

resource "aws_cloudfront_function" "viewer_request" {
  name                         = "${var.name}-viewer-request"
  runtime                      = local.function.runtime
  code                         = file("${var.figures}/${local.function.file}")
  publish                      = true
  key_value_store_associations = [aws_cloudfront_key_value_store.this.arn]
  depends_on                   = [aws_cloudfrontkeyvaluestore_keys_exclusive.this]
}

locals {
  public_keys = local.signed ? { for pem in var.signed_playback.public_keys : substr(sha256(pem), 0, 12) => pem } : {}
}

resource "aws_cloudfront_public_key" "this" {
  for_each    = local.public_keys
  name        = "${var.name}-${each.key}"
  encoded_key = each.value
}

resource "aws_cloudfront_key_group" "this" {
  count = local.signed ? 1 : 0
  name  = var.name
  items = [for key in aws_cloudfront_public_key.this : key.id]
}
