# Without the path: it has the token, which opens the title to whoever reads the log.
resource "aws_cloudwatch_log_delivery_source" "this" {
  region       = "us-east-1" # of everything about CloudFront
  name         = var.name
  log_type     = "ACCESS_LOGS"
  resource_arn = aws_cloudfront_distribution.this.arn
}

resource "aws_cloudwatch_log_delivery_destination" "this" {
  region        = "us-east-1"
  name          = var.name
  output_format = "json"

  delivery_destination_configuration {
    destination_resource_arn = "${var.logs_bucket_arn}/cloudfront"
  }
}

resource "aws_cloudwatch_log_delivery" "this" {
  region                   = "us-east-1"
  delivery_source_name     = aws_cloudwatch_log_delivery_source.this.name
  delivery_destination_arn = aws_cloudwatch_log_delivery_destination.this.arn
  record_fields = [
    "date", "time", "x-edge-location", "sc-bytes", "cs-method", "sc-status", "x-edge-result-type",
    "x-edge-request-id", "time-taken", "x-edge-response-result-type", "cs-protocol-version",
    "time-to-first-byte", "x-edge-detailed-result-type", "sc-content-type", "sc-content-len",
  ]
}

resource "aws_cloudfront_monitoring_subscription" "this" { # hit ratio and origin latency as metrics
  distribution_id = aws_cloudfront_distribution.this.id

  monitoring_subscription {
    realtime_metrics_subscription_config {
      realtime_metrics_subscription_status = "Enabled"
    }
  }
}
