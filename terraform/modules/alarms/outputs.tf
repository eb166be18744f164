output "topic_arns" {
  description = "What alarms are told to, by region."
  value       = { for region, topic in aws_sns_topic.this : region => topic.arn }
}
