variable "name" {
  type        = string
  description = "Its name, at most 32 characters."
}

variable "vpc_id" {
  type        = string
  description = "Where it is."
}

variable "subnet_ids" {
  type        = list(string)
  description = "Private subnets."
}

variable "client_cidr" {
  type        = string
  default     = null
  description = "Who may connect, or client_prefix_list_id."
}

variable "client_prefix_list_id" {
  type        = string
  default     = null
  description = "Who may connect, or client_cidr."
}

variable "nodes_security_group_id" {
  type        = string
  description = "Of the pods."
}

variable "port" {
  type        = number
  description = "On which the pods listen."
}

variable "idle_timeout_s" {
  type        = number
  description = "Longer than its client keeps connections, shorter than the pods do."
}

variable "certificate_arn" {
  type        = string
  description = "Of its domain, in ACM in this region."
}

variable "logs_bucket" {
  type        = string
  description = "For access logs."
}

variable "access_logs" {
  type        = bool
  description = "Write a line for each request; needless behind CloudFront, which has its own."
}

variable "disposable" {
  type        = bool
  description = "Can be destroyed."
}
