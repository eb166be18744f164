# What AWS knows of itself; of the service itself Prometheus tells more and earlier.
locals {
  alarms = merge(
    {
      viewer-errors = {
        region      = "us-east-1", namespace = "AWS/CloudFront", metric = "5xxErrorRate", statistic = "Average"
        comparison  = "GreaterThanThreshold", threshold = 1, dimensions = local.distribution
        description = "More than 1 % of what viewers ask for fails"
      }
      hit-ratio = {
        region      = "us-east-1", namespace = "AWS/CloudFront", metric = "CacheHitRate", statistic = "Average"
        comparison  = "LessThanThreshold", threshold = 80, dimensions = local.distribution
        description = "CloudFront asks the shield and the origins for much that it should have"
      }
      catalog-throttled = {
        region      = var.region, namespace = "AWS/DynamoDB", metric = "ThrottledRequests", statistic = "Sum"
        comparison  = "GreaterThanThreshold", threshold = 10, dimensions = { TableName = var.table }
        description = "The catalog is written faster than its table grows"
      }
    },
    merge([for name, balancer in var.load_balancers : {
      "${name}-errors" = {
        region      = var.region, namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count", statistic = "Sum"
        comparison  = "GreaterThanThreshold", threshold = 50, dimensions = { LoadBalancer = balancer.load_balancer }
        description = "Processes of ${name} answer 5xx"
      }
      "${name}-unhealthy" = {
        region      = var.region, namespace = "AWS/ApplicationELB", metric = "UnHealthyHostCount", statistic = "Maximum"
        comparison  = "GreaterThanThreshold", threshold = 0, dimensions = { LoadBalancer = balancer.load_balancer, TargetGroup = balancer.target_group }
        description = "A process of ${name} is not ready"
      }
    }]...),
    merge([for node in var.queue_cluster_ids : {
      "${node}-memory" = {
        region      = var.region, namespace = "AWS/ElastiCache", metric = "DatabaseMemoryUsagePercentage", statistic = "Maximum"
        comparison  = "GreaterThanThreshold", threshold = 70, dimensions = { CacheClusterId = node }
        description = "The queue is running full; when it is, no upload is taken any more"
      }
      "${node}-processor" = {
        region      = var.region, namespace = "AWS/ElastiCache", metric = "EngineCPUUtilization", statistic = "Average"
        comparison  = "GreaterThanThreshold", threshold = 80, dimensions = { CacheClusterId = node }
        description = "The queue's one thread is busy"
      }
    }]...),
  )
  distribution = { DistributionId = var.distribution_id, Region = "Global" }
  regions      = toset([var.region, "us-east-1"]) # an alarm tells a topic of its own region
}

resource "aws_sns_topic" "this" {
  for_each = local.regions
  region   = each.key
  name     = "${var.name}-alarms"
  # Of a key of ours, because CloudWatch may not use AWS's own; a key is of one region.
  kms_master_key_id = each.key == var.region ? var.kms_key_arn : null
}

resource "aws_sns_topic_subscription" "email" {
  for_each  = { for pair in setproduct(local.regions, var.emails) : join(" ", pair) => pair }
  region    = each.value[0]
  topic_arn = aws_sns_topic.this[each.value[0]].arn
  protocol  = "email"
  endpoint  = each.value[1]
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each            = local.alarms
  region              = each.value.region
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  comparison_operator = each.value.comparison
  threshold           = each.value.threshold
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "notBreaching" # nobody watching is no failure
  alarm_actions       = [aws_sns_topic.this[each.value.region].arn]
  ok_actions          = [aws_sns_topic.this[each.value.region].arn]
}

resource "aws_budgets_budget" "this" {
  name         = var.name
  budget_type  = "COST"
  limit_amount = tostring(var.monthly_budget_usd)
  limit_unit   = "USD"
  time_unit    = "MONTHLY"

  cost_filter {
    name   = "TagKeyValue"
    values = ["${"user:environment$"}${var.environment}"]
  }

  dynamic "notification" {
    for_each = { ACTUAL = 80, FORECASTED = 100 }

    content {
      notification_type          = notification.key
      threshold                  = notification.value
      threshold_type             = "PERCENTAGE"
      comparison_operator        = "GREATER_THAN"
      subscriber_email_addresses = var.emails
    }
  }
}
