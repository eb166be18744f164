output "arn" {
  description = "The load balancer."
  value       = aws_lb.this.arn
}

output "arn_suffix" {
  description = "As CloudWatch names it."
  value       = aws_lb.this.arn_suffix
}

output "dns_name" {
  description = "What its domain is to be an alias of."
  value       = aws_lb.this.dns_name
}

output "target_group_arn" {
  description = "For a TargetGroupBinding."
  value       = aws_lb_target_group.this.arn
}

output "target_group_arn_suffix" {
  description = "As CloudWatch names it."
  value       = aws_lb_target_group.this.arn_suffix
}
