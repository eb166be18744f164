variable "name" {
  type        = string
  description = "What all names begin with."
}

variable "region" {
  type        = string
  description = "AWS region."
}

variable "environment" {
  type        = string
  description = "Whose costs the budget counts, by tag."
}

variable "kms_key_arn" {
  type        = string
  description = "Encrypts notifications."
}

variable "emails" {
  type        = list(string)
  description = "Who is told."
}

variable "monthly_budget_usd" {
  type        = number
  description = "Told at 80 % of it, and when it is forecast to be passed."
}

variable "distribution_id" {
  type        = string
  description = "CloudFront's."
}

variable "table" {
  type        = string
  description = "The catalog's."
}

variable "queue_cluster_ids" {
  type        = list(string)
  description = "Nodes of the queue."
}

variable "load_balancers" {
  type        = map(object({ load_balancer = string, target_group = string }))
  description = "By process, as CloudWatch names them."
}
